package authn

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

const (
	// stepLife is how long one hop of a sign-in may take: people type passwords
	// and look for their phones.
	stepLife = 10 * time.Minute
	// maxPending bounds the sign-ins under way in one tenant, and roomFor is how many
	// of them go at a time where there is one too many.
	maxPending = 16384
	roomFor    = 256
	// sealPurpose keeps what is sealed here apart from every other use of the key.
	sealPurpose = "authn.login-flow"
	// tokenLength is 32 random bytes in base64url.
	tokenLength = 43
)

// hop says which step of a sign-in a token is for; a token of one hop is
// worthless at another.
type hop string

const (
	// hopAnswer is the way to the identity provider and back.
	hopAnswer hop = "answer"
	// hopFinish is from a verified answer to the session.
	hopFinish hop = "finish"
	// hopTest is the way of an admin to the test of a connection.
	hopTest hop = "test"
	// hopSignOut is the way to the identity provider and back of somebody who has
	// signed out here.
	hopSignOut hop = "sign-out"
	// hopFactor is from a verified answer to the second factor that goes with it.
	// Its token is good until the factor is shown.
	hopFactor hop = "factor"
	// hopDevice is from the page that shows what a program asks for to what its
	// person says to that.
	hopDevice hop = "device"
)

// flow is what is kept of a sign-in or a sign-out between two hops, sealed.
type flow struct {
	Hop      hop    `json:"hop"`
	ReturnTo string `json:"return_to"`
	// Fresh is for a sign-in that has to end with a recent authentication.
	Fresh bool `json:"fresh,omitempty"`
	// Test has the answer shown instead of signing anybody in.
	Test *test `json:"test,omitempty"`
	// Unasked is for a sign-in that the provider has begun.
	Unasked bool `json:"unasked,omitempty"`
	// Private is the protocol's own, for hopAnswer and hopSignOut.
	Private []byte `json:"private,omitempty"`
	// User is who has signed out, for hopSignOut, signs in, for hopFactor, or was
	// asked, for hopDevice; Created tells that they did not exist before.
	User    identity.UserID `json:"user,omitempty"`
	Created bool            `json:"created,omitempty"`
	// Assertion is what was verified, for hopFinish and hopFactor, and Version that
	// of the connection by which it was.
	Assertion *Assertion `json:"assertion,omitempty"`
	Version   uint64     `json:"version,omitempty"`
	// SignedOut is the last sign-out at the provider that was known when it was
	// verified ([flows.lastSignOut]).
	SignedOut int64 `json:"signed_out,omitempty"`

	connection identity.ConnectionID
}

// waits gives whose sign-in needs nothing but a second factor any more; "" of all
// others.
func (f *flow) waits() identity.UserID {
	if f.Hop == hopFactor {
		return f.User
	}
	return ""
}

// flows keeps the sign-ins under way of every tenant.
type flows struct {
	stores Stores
	keys   Keys
	now    func() time.Time
}

// newToken makes 256 random bits as text.
func newToken() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func hash(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p)) // the length keeps "ab","c" from being "a","bc"
	}
	return h.Sum(nil)
}

// put keeps f under a token for one use by one browser.
func (f *flows) put(ctx context.Context, tenant identity.TenantID, token, browser string, connection identity.ConnectionID, state flow) error {
	plain, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode sign-in step: %w", err)
	}
	sealed, err := f.keys.Seal(ctx, tenant, sealPurpose, plain)
	if err != nil {
		return fmt.Errorf("seal sign-in step: %w", err)
	}
	now, site := f.now(), hash("site", httpkit.ClientSite(httpkit.RequestFrom(ctx).ClientIP).String())
	return f.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if err := makeRoom(ctx, tx, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO login_flows (id_hash, browser_hash, network_hash, connection_id, user_id, state, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			hash(token), hash(browser), site, string(connection), state.waits(), sealed, store.Millis(now), store.Millis(now.Add(stepLife)))
		return err
	})
}

// makeRoom purges what has expired, and drops steps over the bound: the oldest of
// those sites that have the most, so that whoever fills the table drives out their
// own, from however many networks.
func makeRoom(ctx context.Context, tx *store.Tx, now time.Time) error {
	for _, table := range []string{"login_flows", "assertions_seen"} {
		if err := purge(ctx, tx, table, now); err != nil {
			return err
		}
	}
	pending, err := store.One(ctx, tx, store.Scalar[int64], `SELECT count(*) FROM login_flows`)
	if err != nil || pending < maxPending {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM login_flows WHERE id_hash IN (SELECT id_hash FROM
		(SELECT id_hash, expires_at, row_number() OVER (PARTITION BY network_hash ORDER BY expires_at DESC) AS place FROM login_flows) AS steps
		ORDER BY place DESC, expires_at LIMIT $1)`, pending-maxPending+roomFor)
	return err
}

// purge removes from a table of this room what has expired.
func purge(ctx context.Context, tx *store.Tx, table string, now time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE expires_at <= $1`, store.Millis(now))
	return err
}

// row is a login_flows row as it is consumed.
type row struct {
	browser, sealed []byte
	connection      string
	expires         int64
}

// stepChecks are what a step must be besides known and unused, by name, in the
// order in which they are made (TestEveryCheckOfAStepIsNeeded).
var stepChecks = []struct {
	name   string
	refuse func(r row, now time.Time, browser string, connection identity.ConnectionID) *Refusal
}{
	{"age", func(r row, now time.Time, _ string, _ identity.ConnectionID) *Refusal {
		if r.expires <= store.Millis(now) {
			return Refuse(stepExpired, "The sign-in was begun more than %v ago.", stepLife)
		}
		return nil
	}},
	{"browser", func(r row, _ time.Time, browser string, _ identity.ConnectionID) *Refusal {
		if subtle.ConstantTimeCompare(r.browser, hash(browser)) != 1 {
			return Refuse(otherBrowser, "The answer came from another browser than the one that began the sign-in.")
		}
		return nil
	}},
	{"connection", func(r row, _ time.Time, _ string, connection identity.ConnectionID) *Refusal {
		if r.connection != string(connection) {
			return Refuse(otherConnection, "The answer came back on another connection than the one the sign-in was begun with.")
		}
		return nil
	}},
}

func scanRow(s store.Row) (r row, err error) {
	err = s.Scan(&r.browser, &r.sealed, &r.connection, &r.expires)
	return r, err
}

// take consumes a token: whatever comes of it, it is never good again. That
// it was used is remembered as long as it could have been, so that a replay is
// told apart from a sign-in that never began here.
func (f *flows) take(ctx context.Context, tenant identity.TenantID, token, browser string, at hop, connection identity.ConnectionID) (flow, error) {
	if len(token) != tokenLength {
		return flow{}, Refuse(unsolicited, "The answer names no sign-in that was begun here.")
	}
	// Anybody can send what was never begun: that must not take the lock that
	// every change of this tenant waits for.
	begun, err := f.knows(ctx, tenant, `SELECT count(*) FROM login_flows WHERE id_hash = $1`, hash(token))
	if err != nil {
		return flow{}, err
	}
	if !begun {
		return flow{}, f.unknown(ctx, tenant, token)
	}
	var r row
	now := f.now()
	err = f.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		r, err = store.One(ctx, tx, scanRow, `DELETE FROM login_flows WHERE id_hash = $1 RETURNING browser_hash, state, connection_id, expires_at`, hash(token))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO assertions_seen (id_hash, expires_at) VALUES ($1, $2) ON CONFLICT (id_hash) DO NOTHING`,
			hash("step", token), store.Millis(now.Add(stepLife)))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return flow{}, f.unknown(ctx, tenant, token)
	}
	if err != nil {
		return flow{}, storeDown(err)
	}
	return f.open(ctx, tenant, r, browser, at, connection)
}

// look reads a step of any connection without using it up.
func (f *flows) look(ctx context.Context, tenant identity.TenantID, token, browser string, at hop) (flow, error) {
	if len(token) != tokenLength {
		return flow{}, Refuse(unsolicited, "The address names no sign-in that was begun here.")
	}
	var r row
	err := f.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		r, err = store.One(ctx, tx, scanRow, `SELECT browser_hash, state, connection_id, expires_at FROM login_flows WHERE id_hash = $1`, hash(token))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return flow{}, f.unknown(ctx, tenant, token)
	}
	if err != nil {
		return flow{}, storeDown(err)
	}
	return f.open(ctx, tenant, r, browser, at, identity.ConnectionID(r.connection))
}

// open reads a step that was found, if it is this browser's, of this connection, at
// this hop, and still good.
func (f *flows) open(ctx context.Context, tenant identity.TenantID, r row, browser string, at hop, connection identity.ConnectionID) (flow, error) {
	for _, c := range stepChecks {
		if refusal := c.refuse(r, f.now(), browser, connection); refusal != nil {
			return flow{}, refusal
		}
	}
	plain, err := f.keys.Open(ctx, tenant, sealPurpose, r.sealed)
	if err != nil {
		return flow{}, storeDown(err)
	}
	state := flow{connection: connection}
	if err := json.Unmarshal(plain, &state); err != nil {
		return flow{}, fmt.Errorf("decode sign-in step: %w", err)
	}
	if state.Hop != at {
		return flow{}, Refuse(unsolicited, "The token belongs to another step of the sign-in.")
	}
	return state, nil
}

// unknown says why there is no step for a token.
func (f *flows) unknown(ctx context.Context, tenant identity.TenantID, token string) error {
	used, err := f.used(ctx, tenant, hash("step", token))
	if err != nil {
		return err
	}
	if used {
		return Refuse(replayed, "The answer belongs to a sign-in that was finished or given up already.")
	}
	return Refuse(unsolicited, "The answer names no sign-in under way here.")
}

// used reports whether this was remembered.
func (f *flows) used(ctx context.Context, tenant identity.TenantID, id []byte) (bool, error) {
	return f.knows(ctx, tenant, `SELECT count(*) FROM assertions_seen WHERE id_hash = $1`, id)
}

// remembers reports whether this was remembered until a time that is still to come.
func (f *flows) remembers(ctx context.Context, tenant identity.TenantID, id []byte) (bool, error) {
	now := strconv.FormatInt(store.Millis(f.now()), 10)
	return f.knows(ctx, tenant, `SELECT count(*) FROM assertions_seen WHERE id_hash = $1 AND expires_at > `+now, id)
}

// heeded reports whether a message that ends sessions was heeded before. While the
// database cannot be asked it counts as new: to end them twice ends nothing more,
// and as nobody can remember it then, whoever sent it is told to send it again.
func (f *flows) heeded(ctx context.Context, tenant identity.TenantID, id []byte) (bool, error) {
	used, err := f.used(ctx, tenant, id)
	if fault.Is(err, fault.Unavailable) {
		return false, nil
	}
	return used, err
}

// knows reports whether a query counts anything of this id.
func (f *flows) knows(ctx context.Context, tenant identity.TenantID, query string, id []byte) (bool, error) {
	var n int64
	err := f.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		n, err = store.One(ctx, tx, store.Scalar[int64], query, id)
		return err
	})
	if err != nil {
		return false, storeDown(err)
	}
	return n > 0, nil
}

// once refuses an assertion that was used before and remembers it until then
// (SAML profiles §4.1.4.5).
func (f *flows) once(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, id string, until time.Time) error {
	fresh, err := f.remember(ctx, tenant, hash("assertion", string(connection), id), until)
	if err != nil {
		return err
	}
	if !fresh {
		return Refuse(replayed, "The assertion was used before.")
	}
	return nil
}

// remember keeps what was used until then; fresh if it was not kept already.
func (f *flows) remember(ctx context.Context, tenant identity.TenantID, id []byte, until time.Time) (fresh bool, err error) {
	var n int64
	err = f.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		if err = purge(ctx, tx, "assertions_seen", f.now()); err != nil {
			return err
		}
		n, err = tx.Exec(ctx, `INSERT INTO assertions_seen (id_hash, expires_at) VALUES ($1, $2) ON CONFLICT (id_hash) DO NOTHING`,
			id, store.Millis(until))
		return err
	})
	if err != nil {
		return false, storeDown(err)
	}
	return n > 0, nil
}

func storeDown(err error) error {
	return fault.OutOfReach(err, "store-unavailable", "Signing in is not possible right now. Try again in a moment.")
}
