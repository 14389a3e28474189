package scim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/directory"
	"gatehouse/scim/resource"
)

// The keywords of RFC 9865 §2.1.
const (
	invalidCursor scimerrors.ScimType = "invalidCursor"
	expiredCursor scimerrors.ScimType = "expiredCursor"
	invalidCount  scimerrors.ScimType = "invalidCount"
)

const (
	// cursorLife is how long a client may take from one page to the next: the total
	// that a cursor carries is not to be told for ever.
	cursorLife = time.Hour
	maxCursor  = 4096
	maxKey     = 512 // characters; the directory cuts off earlier
)

// cursor is a place in a list. It says nothing but where to go on and gives no right to
// anything: whoever makes one up gets what a filter would have given them as well.
type cursor struct {
	List  string `json:"l"` // the digest of what the list is of
	Key   string `json:"k,omitempty"`
	ID    string `json:"i,omitempty"` // empty: the beginning
	Back  bool   `json:"b,omitempty"` // what comes before it
	Total int    `json:"t"`
	Until int64  `json:"u"` // in Unix time
}

// encoding has characters alone that stand in a URL as they are (RFC 9865 §2), and each
// cursor in one form alone.
var encoding = base64.RawURLEncoding.Strict()

func (c *cursor) text() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // texts and numbers can be written
	}
	return encoding.EncodeToString(text)
}

func errCursor() error {
	return resource.Bad(invalidCursor, "That is no cursor of this list: send an empty one for its first page, and then what nextCursor or previousCursor say.")
}

// readCursor reads a cursor, which must be of the list with this digest.
func readCursor(text, digest string, now time.Time) (cursor, error) {
	c, err := decodeCursor(text)
	if err != nil {
		return cursor{}, err
	}
	if c.List != digest {
		return cursor{}, errCursor()
	}
	if now.Unix() > c.Until {
		return cursor{}, resource.Bad(expiredCursor, "The cursor has expired: fetch a page within %d seconds after the one before.", int(cursorLife.Seconds()))
	}
	return c, nil
}

func decodeCursor(text string) (c cursor, err error) {
	if len(text) > maxCursor {
		return cursor{}, errCursor()
	}
	data, err := encoding.DecodeString(text)
	if err != nil || json.Unmarshal(data, &c) != nil || c.text() != text {
		return cursor{}, errCursor()
	}
	if utf8.RuneCountInString(c.Key) > maxKey || len(c.ID) > 64 || strings.ContainsRune(c.Key+c.ID, 0) || c.ID == "" && (c.Key != "" || c.Back) || c.Total < 0 {
		return cursor{}, errCursor()
	}
	return c, nil
}

// beside gives the cursors of the pages after and before this one, which c led to; nil:
// there is none, or nobody can tell.
func (c cursor) beside(page directory.Page) (next, previous *cursor) {
	n := len(page.Items)
	if n == 0 {
		if c.Back { // all that came before is gone: the next page is the first one
			next = c.at(directory.Position{}, false)
		}
		return next, nil
	}
	if c.Back || page.More {
		next = c.at(page.Items[n-1].At, false)
	}
	if c.Back && page.More || !c.Back && c.ID != "" {
		previous = c.at(page.Items[0].At, true)
	}
	return next, previous
}

func (c cursor) at(p directory.Position, back bool) *cursor {
	c.Key, c.ID, c.Back = p.Key, p.ID, back
	return &c
}

// digest tells lists apart, so that a cursor of another one, or of another tenant, is
// none (RFC 9865 §2: all parameters stay the same).
func (c *call) digest() string {
	text, err := json.Marshal([]string{string(c.tenant), c.kindName(), c.query.Get("filter"), c.query.Get("sortBy"), c.query.Get("sortOrder")})
	if err != nil {
		panic(err) // texts can be written
	}
	sum := sha256.Sum256(text)
	return encoding.EncodeToString(sum[:12])
}
