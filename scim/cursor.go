package scim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
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
	maxCursor  = 4096 // bytes; the directory cuts keys off long before
	// cursorPurpose is what cursors are sealed for.
	cursorPurpose = "scim-cursor"
)

// Sealer keeps what clients carry unreadable, and finds what none of us has made: by the
// tenant's own key, which all nodes have.
type Sealer interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// cursor is a place in a list. Clients have it sealed (RFC 9865 §5): what somebody is
// sorted by does not get into their logs, and nobody makes one up.
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

// cursorText gives a cursor as the client carries it.
func (c *call) cursorText(ctx context.Context, at *cursor) (string, error) {
	plain, err := json.Marshal(at)
	if err != nil {
		panic(err) // texts and numbers can be written
	}
	sealed, err := c.service.keys.Seal(ctx, c.tenant, cursorPurpose, plain)
	return encoding.EncodeToString(sealed), err
}

func errCursor() error {
	return resource.Bad(invalidCursor, "That is no cursor of this list: send an empty one for its first page, and then what nextCursor or previousCursor say.")
}

// readCursor reads a cursor, which must be of the list with this digest.
func (c *call) readCursor(ctx context.Context, text, digest string, now time.Time) (at cursor, err error) {
	sealed, err := encoding.DecodeString(text)
	if err != nil || len(text) > maxCursor {
		return cursor{}, errCursor()
	}
	plain, err := c.service.keys.Open(ctx, c.tenant, cursorPurpose, sealed)
	if fault.Is(err, fault.Unavailable) {
		return cursor{}, err
	}
	if err != nil || json.Unmarshal(plain, &at) != nil || at.List != digest {
		return cursor{}, errCursor()
	}
	if now.Unix() > at.Until {
		return cursor{}, resource.Bad(expiredCursor, "The cursor has expired: fetch a page within %d seconds after the one before.", int(cursorLife.Seconds()))
	}
	return at, nil
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
