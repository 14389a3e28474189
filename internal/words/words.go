// Package words has our pages speak the reader's language. The English sentence in the
// code or the template is the key; a folder per language holds what it is there, in
// files by topic.
//
// It exists so that a page is written once, in plain English, and so that whatever has
// no translation yet is still said. Programs, the journal and logs stay English: what
// they read must be stable. It must not know rooms, pages or HTTP beyond the one header
// in which a browser says what its person reads.
//
// golang.org/x/text matches the languages. Its message catalogues are left out: our
// sentences need neither their plurals nor their forms of numbers.
package words

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"golang.org/x/text/language"
)

//go:embed de
var files embed.FS

// Language is one that pages are written in.
type Language struct {
	tag  language.Tag
	said map[string]string // by the English sentence
}

// English is the language of the keys.
var English = &Language{tag: language.English}

// spoken are the languages, English first: it is for everybody whose own there is not.
var spoken = append([]*Language{English}, read(files)...)

var matcher = func() language.Matcher {
	tags := make([]language.Tag, len(spoken))
	for i, l := range spoken {
		tags[i] = l.tag
	}
	return language.NewMatcher(tags)
}()

// read reads the folders of languages. They are part of the program: one that cannot be
// read is a mistake of its making.
func read(all fs.FS) (found []*Language) {
	folders, err := fs.ReadDir(all, ".")
	for _, folder := range folders {
		l := &Language{tag: language.MustParse(folder.Name()), said: map[string]string{}}
		var topics []fs.DirEntry
		if topics, err = fs.ReadDir(all, folder.Name()); err != nil {
			break
		}
		for _, topic := range topics {
			name := path.Join(folder.Name(), topic.Name())
			text, err := fs.ReadFile(all, name)
			if err == nil {
				err = json.Unmarshal(text, &l.said)
			}
			if err != nil {
				panic(fmt.Sprintf("words: read %s: %v", name, err))
			}
		}
		found = append(found, l)
	}
	if err != nil {
		panic(fmt.Sprintf("words: %v", err))
	}
	return found
}

// Spoken are the languages that there are.
func Spoken() []*Language { return spoken }

// maxAccepted bounds what a browser says that its person reads. Browsers send a handful
// of languages; whoever sends more gets English.
const maxAccepted = 512

// For is the language for whoever sent a request (RFC 9110 §12.5.4).
func For(r *http.Request) *Language {
	accepted := strings.Join(r.Header.Values("Accept-Language"), ",")
	if accepted == "" || len(accepted) > maxAccepted {
		return English
	}
	wanted, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil {
		return English
	}
	_, i, _ := matcher.Match(wanted...)
	return spoken[i]
}

// Tag names the language (BCP 47).
func (l *Language) Tag() string { return l.tag.String() }

// sentence is something that can be said in any language.
type sentence interface {
	Parts() (format string, args []any)
}

// Say says an English sentence: with args, a format of package fmt. Args that are
// sentences are said in the same language.
func (l *Language) Say(english string, args ...any) string {
	format, ok := l.said[english]
	if !ok {
		format = english
	}
	if len(args) == 0 {
		return format
	}
	filled := make([]any, len(args))
	for i, arg := range args {
		if s, ok := arg.(sentence); ok {
			arg = l.Tell(s)
		}
		filled[i] = arg
	}
	return fmt.Sprintf(format, filled...)
}

// Tell is Say for what was put together elsewhere.
func (l *Language) Tell(s sentence) string {
	format, args := s.Parts()
	return l.Say(format, args...)
}

// Translation is what there is for an English sentence.
func (l *Language) Translation(english string) (text string, ok bool) {
	text, ok = l.said[english]
	return text, ok
}

// Keys are the English sentences that the language has something for.
func (l *Language) Keys() (all []string) {
	for english := range l.said {
		all = append(all, english)
	}
	return all
}

// When writes a time for a person who may be anywhere.
func (l *Language) When(at time.Time) string {
	at = at.UTC()
	return l.Say("%[1]d %[2]s %[3]d, %[4]s UTC", at.Day(), l.Say(at.Month().String()), at.Year(), at.Format("15:04"))
}
