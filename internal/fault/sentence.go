package fault

import "fmt"

// Sentence is what a person may read, before what it tells of this case is filled in.
// Programs and the journal get it in English; a page may say it in another language,
// by its Format.
type Sentence struct {
	// Format is English: with Args, a format of package fmt; without, the sentence
	// as it is.
	Format string
	// Args may be sentences themselves, which are then said in the same language.
	Args []any
}

// String says it in English.
func (s Sentence) String() string {
	if len(s.Args) == 0 {
		return s.Format
	}
	return fmt.Sprintf(s.Format, s.Args...)
}

// Parts takes the sentence apart.
func (s Sentence) Parts() (format string, args []any) { return s.Format, s.Args }
