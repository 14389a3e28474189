package setup

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

const (
	// maxLinks bounds the links of a tenant at once.
	maxLinks = 100
	// minLife and maxLife bound how long a link is good: somebody is to look for it in
	// their mail, and nobody to find it years later.
	minLife = 10 * time.Minute
	maxLife = 30 * 24 * time.Hour
	// tokenLength is 32 random bytes in base64url.
	tokenLength = 43
)

// Terms are what a link leaves to nobody but its maker: what becomes of the people
// of the connection.
type Terms struct {
	DisplayName string              `json:"display_name,omitempty"`
	DefaultRole string              `json:"default_role,omitempty"`
	Link        tenants.LinkRule    `json:"link,omitempty"`
	Unknown     tenants.UnknownRule `json:"unknown,omitempty"`
}

// Link is a way to set up one connection.
type Link struct {
	ID         string
	Connection string // the name that it will have
	Terms      Terms
	CreatedBy  string // whom the journal names
	CreatedAt  time.Time
	BegunAt    time.Time // when a browser began with it; zero: not yet
	ExpiresAt  time.Time

	// The connection as this link has last written it, or found it when it was made:
	// one that is any other by now is somebody else's. Without an id there was none.
	madeID      identity.ConnectionID
	madeVersion uint64
}

var (
	errNoLink = fault.New(fault.NotFound, "no-such-link", "There is no such link.")
	errSpent  = fault.New(fault.Denied, "link-unusable",
		"This link was used already, was taken back, or has run out. Go on in the browser in which you began, or ask for a new link.")
	errInUse = fault.New(fault.Conflict, "connection-in-use",
		"A connection of this name is in use already, or was changed by somebody else. It is changed in the console, and not by this link.")
	// Whoever has a link chooses the provider, whose word would count for what is there.
	errKnown = fault.New(fault.Conflict, "connection-known",
		"There are people or groups of a connection of this name. Delete it, or take another name: a link is for a connection that knows nobody yet.")
)

func newToken() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func hashOf(kind, token string) []byte {
	sum := sha256.Sum256([]byte(kind + " " + token))
	return sum[:]
}

// knows reports whether there are people or groups of a connection; a zero one has none.
func (s *Service) knows(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (bool, error) {
	if c.ID == "" {
		return false, nil
	}
	known, err := s.people.Knows(ctx, tenant, c.ID)
	return known, storeDown(err)
}

// Create makes a link for a connection of a name that none in use has, and gives
// the token that stands in it, which is kept nowhere. What the terms give is for
// the caller to have checked.
func (s *Service) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection string, terms Terms, life time.Duration) (Link, string, error) {
	if life < minLife || life > maxLife {
		return Link{}, "", fault.New(fault.Invalid, "bad-life", "A link is good for %v to %v.", minLife, maxLife)
	}
	c := terms.connection(connection)
	if err := c.CheckRules(); err != nil {
		return Link{}, "", err
	}
	found, err := s.tenants.Connection(ctx, tenant, connection)
	switch {
	case err == nil && found.Enabled:
		return Link{}, "", errInUse
	case err != nil && !fault.Is(err, fault.NotFound):
		return Link{}, "", err
	}
	if knows, err := s.knows(ctx, tenant, found); err != nil || knows {
		return Link{}, "", cmp.Or[error](err, errKnown)
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	l := Link{ID: rand.Text(), Connection: connection, Terms: terms, CreatedBy: cause.Actor.Name, CreatedAt: now, ExpiresAt: now.Add(life),
		madeID: found.ID, madeVersion: found.Version}
	token := newToken()
	encoded, err := json.Marshal(terms)
	if err != nil {
		return Link{}, "", fmt.Errorf("encode terms: %w", err)
	}
	all, err := s.List(ctx, tenant)
	if err == nil && len(all) >= maxLinks {
		err = fault.New(fault.Conflict, "too-many-links", "There are %d links already. Take back those that nobody needs.", maxLinks)
	}
	if err != nil {
		return Link{}, "", storeDown(err)
	}
	if _, err := s.journal.Commit(ctx, l.event(cause, tenant, audit.SetupLinkCreated)); err != nil {
		return Link{}, "", err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM setup_links WHERE expires_at <= $1`, store.Millis(now)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO setup_links (id, token_hash, connection, made_id, made_version, terms, created_by, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, l.ID, hashOf("link", token), connection, l.madeID, l.madeVersion, string(encoded), l.CreatedBy,
			store.Millis(l.CreatedAt), store.Millis(l.ExpiresAt))
		return err
	})
	if err != nil {
		return Link{}, "", storeDown(err)
	}
	return l, token, nil
}

const columns = `id, connection, made_id, made_version, terms, created_by, created_at, begun_at, expires_at`

func scanLink(row store.Row) (l Link, err error) {
	var terms string
	var created, expires int64
	var begun *int64
	if err := row.Scan(&l.ID, &l.Connection, &l.madeID, &l.madeVersion, &terms, &l.CreatedBy, &created, &begun, &expires); err != nil {
		return l, err
	}
	l.CreatedAt, l.ExpiresAt = store.Time(created), store.Time(expires)
	if begun != nil {
		l.BegunAt = store.Time(*begun)
	}
	if err := json.Unmarshal([]byte(terms), &l.Terms); err != nil {
		return l, fmt.Errorf("terms of link %s: %w", l.ID, err)
	}
	return l, nil
}

// List gives the links that can still be used, the newest first.
func (s *Service) List(ctx context.Context, tenant identity.TenantID) (links []Link, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		links, err = store.All(ctx, tx, scanLink, `SELECT `+columns+` FROM setup_links WHERE expires_at > $1 ORDER BY created_at DESC, id LIMIT $2`,
			store.Millis(s.now()), maxLinks)
		return err
	})
	return links, err
}

// Delete takes a link back, also from the browser that has begun with it.
func (s *Service) Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id string) error {
	l, err := s.find(ctx, tenant, `id = $1`, id)
	if err != nil {
		return err
	}
	if _, err := s.journal.Commit(ctx, l.event(cause, tenant, audit.SetupLinkDeleted)); err != nil {
		return err
	}
	if err := s.remove(ctx, tenant, id); !errors.Is(err, errSpent) {
		return err
	}
	return nil
}

// remove ends a link; errSpent if somebody else has done so.
func (s *Service) remove(ctx context.Context, tenant identity.TenantID, id string) error {
	return s.change(ctx, tenant, `DELETE FROM setup_links WHERE id = $1`, id)
}

// wrote notes what the link has made of the connection.
func (s *Service) wrote(ctx context.Context, tenant identity.TenantID, l Link, c tenants.Connection) error {
	return s.change(ctx, tenant, `UPDATE setup_links SET made_id = $1, made_version = $2 WHERE id = $3`, c.ID, c.Version, l.ID)
}

func (s *Service) change(ctx context.Context, tenant identity.TenantID, statement string, args ...any) error {
	ctx, cancel := effect(ctx)
	defer cancel()
	var n int64
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, statement, args...)
		return err
	})
	if err == nil && n == 0 {
		err = errSpent
	}
	return storeDown(err)
}

// find gives the one link that a condition holds for, if it has not run out.
func (s *Service) find(ctx context.Context, tenant identity.TenantID, where string, arg any) (l Link, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		l, err = store.One(ctx, tx, scanLink, `SELECT `+columns+` FROM setup_links WHERE `+where+` AND expires_at > $2`, arg, store.Millis(s.now())) // #nosec G202 -- conditions of this file
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return Link{}, errNoLink
	}
	if err != nil {
		return Link{}, storeDown(err)
	}
	return l, nil
}

// begin gives a link to the browser that shows its token; to no other after that.
func (s *Service) begin(ctx context.Context, cause audit.Cause, tenant identity.TenantID, token string) (browser string, err error) {
	l, err := s.find(ctx, tenant, `browser_hash IS NULL AND token_hash = $1`, hashOf("link", token))
	if errors.Is(err, errNoLink) {
		return "", errSpent
	}
	if err != nil {
		return "", err
	}
	cause.Actor = l.actor()
	if _, err := s.journal.Commit(ctx, l.event(cause, tenant, audit.SetupLinkBegun)); err != nil {
		return "", err
	}
	browser = newToken()
	ctx, cancel := effect(ctx)
	defer cancel()
	var n int64
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, `UPDATE setup_links SET browser_hash = $1, begun_at = $2 WHERE id = $3 AND browser_hash IS NULL`,
			hashOf("browser", browser), store.Millis(s.now()), l.ID)
		return err
	})
	if err != nil {
		return "", storeDown(err)
	}
	if n == 0 {
		return "", errSpent // another browser was faster
	}
	return browser, nil
}

// connection is one of these terms, of no provider yet.
func (t Terms) connection(name string) tenants.Connection {
	return tenants.Connection{Name: name, DisplayName: t.DisplayName, DefaultRole: t.DefaultRole, Link: t.Link, Unknown: t.Unknown}
}

// actor is whom the journal names for what is done by the link.
func (l Link) actor() audit.Actor {
	return audit.Actor{Kind: identity.KindSetupLink, ID: l.ID, Name: "set-up link for " + l.Connection}
}

func (l Link) event(cause audit.Cause, tenant identity.TenantID, t audit.Type) audit.Event {
	e := cause.Event(tenant, t, audit.Success)
	e.Target = audit.Target{Kind: "setup_link", ID: l.ID, Name: l.Connection}
	e.Details = map[string]string{"connection": l.Connection, "default_role": l.Terms.DefaultRole, "link": string(l.Terms.Link), "created_by": l.CreatedBy,
		"expires": l.ExpiresAt.UTC().Format(time.RFC3339)}
	return e
}

// effect is for what has its record: it is done though whoever asked is gone, and
// not waited for without end.
func effect(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

func storeDown(err error) error {
	if err == nil {
		return nil
	}
	return fault.OutOfReach(err, "store-unavailable", "The set-up cannot go on right now. Try again in a moment.")
}
