package authn

import (
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/words"
)

// Reading is what a protocol has read of an answer by the time that it accepts or
// refuses it: a test of a connection shows it, and nothing keeps it. It holds no
// secret: no token, code, nonce or signature, and nothing that was made for somebody
// else's sign-in.
type Reading struct {
	// Marks are what the answer says of itself.
	Marks []Mark
	// Claims are what it says of the person, bounded as those of an [Assertion]; Believed
	// if they are the provider's for certain.
	Claims   map[string][]string
	Believed bool
}

// Mark is something that an answer says of itself, beside what it is to say; none of
// that is whatever it likes.
type Mark struct {
	Name               string
	Received, Expected []string
	Believed           bool
}

// Take has a test show what has been read. A nil reading is of a sign-in, which shows
// nothing.
func (r *Reading) Take(read func() Reading) {
	if r != nil {
		*r = read()
	}
}

// ReadingOf is the reading of an OAuth 2.0 authorisation response that was refused
// (RFC 6749 §4.1.2.1, RFC 9207 §2). Nothing in it is signed.
func ReadingOf(answer url.Values, issuers ...string) Reading {
	return Reading{Marks: []Mark{{Name: "Issuer", Received: answer["iss"], Expected: issuers}, {Name: "Error", Received: answer["error"]},
		{Name: "Description", Received: answer["error_description"]}}}
}

// Clock is the mark of the time here, by which the times of an answer are judged.
func Clock(now time.Time) Mark {
	return Mark{Name: "The time here", Received: []string{now.UTC().Format(time.RFC3339)}, Believed: true}
}

// reading is where what is read of an answer goes; nil if it is of no test.
func (t *test) reading() *Reading {
	if t == nil {
		return nil
	}
	return &t.seen
}

// mark is a [Mark] on a page.
type mark struct {
	Name, Received, Expected string
	Unverified               bool
}

// marks are those of which there is something to say.
func (r *Reading) marks(say *words.Language) (all []mark) {
	for _, m := range r.Marks {
		said := mark{Name: m.Name, Received: shown(say, cut(m.Received)), Expected: shown(say, cut(m.Expected)), Unverified: !m.Believed}
		if said.Received == "" && said.Expected == "" {
			continue
		}
		if said.Received == "" {
			said.Received, said.Unverified = say.Say("none"), false
		}
		all = append(all, said)
	}
	return all
}

// maxMark is how much of one value is shown, in bytes.
const maxMark = 512

// cut shortens what is longer than anybody reads.
func cut(values []string) []string {
	all := make([]string, len(values))
	for i, v := range values {
		if len(v) > maxMark {
			v = strings.ToValidUTF8(v[:maxMark], "") + "…"
		}
		all[i] = v
	}
	return all
}
