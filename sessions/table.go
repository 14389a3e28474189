package sessions

import (
	"context"
	"database/sql"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

const sessionColumns = `s.id, s.user_id, s.device_id, s.connection_id, s.idp_subject, s.idp_session, s.amr, s.acr,
	s.ip, s.user_agent, s.program, s.auth_at, s.factor_at, s.created_at, s.seen_at, s.expires_at, s.until_at, s.ended_at, s.end_reason`

// scanSession reads [sessionColumns], and the columns after them into more.
func scanSession(tenant identity.TenantID, row store.Row, more ...any) (Session, error) {
	s := Session{Tenant: tenant}
	var amr, ip string
	var auth, factor, created, seen, expires, until int64
	var ended sql.NullInt64
	var reason sql.NullString
	dest := append([]any{&s.ID, &s.User, &s.Device, &s.Connection, &s.IDPSubject, &s.IDPSession, &amr, &s.ACR,
		&ip, &s.UserAgent, &s.Program, &auth, &factor, &created, &seen, &expires, &until, &ended, &reason}, more...)
	if err := row.Scan(dest...); err != nil {
		return Session{}, err
	}
	s.AMR = strings.Fields(amr)
	s.IP, _ = netip.ParseAddr(ip) // empty when it was not known
	s.AuthAt, s.FactorAt, s.CreatedAt, s.SeenAt = store.Time(auth), store.Time(factor), store.Time(created), store.Time(seen)
	s.ExpiresAt, s.Until, s.EndedAt, s.EndReason = store.Time(expires), store.Time(until), store.Time(ended.Int64), reason.String
	return s, nil
}

// insertSession writes the row only while the person is active and has room for
// it, the device is not blocked, and the connection is enabled and what it was
// when the sign-in was verified, in one statement: whoever deactivates, blocks,
// disables or changes afterwards finds the row, whoever did before has prevented
// it. So it is with the session in which a program's was allowed.
func insertSession(ctx context.Context, tx *store.Tx, s *Session, wanted *NewSession, hash TokenHash, hint []byte, limits Limits) (inserted bool, err error) {
	seen, created := limits.since(s.CreatedAt)
	var allowedBy identity.SessionID
	if wanted.Program != nil {
		allowedBy = wanted.Program.AllowedBy
	}
	n, err := tx.Exec(ctx, `INSERT INTO sessions
		(id, token_hash, user_id, device_id, connection_id, idp_subject, idp_session, logout_hint, amr, acr,
		 ip, user_agent, auth_at, created_at, seen_at, expires_at, factor_at, program, until_at)
		SELECT $1, $2, u.id, d.id, c.id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $23, $21, $24
		FROM users u JOIN devices d ON d.user_id = u.id JOIN connections c ON c.id = $3
		WHERE u.id = $15 AND u.active AND d.id = $16 AND NOT d.blocked AND c.enabled AND c.version = $17
			AND ($18 = 0 OR (SELECT count(*) FROM sessions x WHERE x.user_id = u.id AND x.ended_at IS NULL AND x.seen_at > $19 AND x.created_at > $20) < $18)
			AND (NOT $21 OR EXISTS (SELECT 1 FROM sessions b WHERE b.id = $22 AND b.user_id = u.id AND b.ended_at IS NULL))`,
		s.ID, hash[:], s.Connection, s.IDPSubject, s.IDPSession, hint, strings.Join(s.AMR, " "), s.ACR,
		addrText(s.IP), s.UserAgent, store.Millis(s.AuthAt), store.Millis(s.CreatedAt), store.Millis(s.SeenAt), store.Millis(s.ExpiresAt),
		s.User, s.Device, wanted.ConnectionVersion, limits.PerPerson, seen, created, s.Program, allowedBy, store.Millis(s.FactorAt), store.Millis(s.Until))
	return n > 0, err
}

// addrText is how an address is stored; empty when it is not known.
func addrText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.Unmap().String()
}

// endedRow is a session that a statement has just ended.
type endedRow struct {
	session identity.SessionID
	device  identity.DeviceID
	hash    TokenHash
}

// endRows marks selected sessions as ended: all of them, if they are fewer than
// [endBatch].
func endRows(ctx context.Context, tx *store.Tx, sel Selector, at time.Time, reason string) ([]endedRow, error) {
	condition, value := "connection_id = $3", any(sel.Connection)
	switch {
	case sel.All:
		return endSelected(ctx, tx, at, reason, sel, "")
	case sel.Session != "":
		condition, value = "id = $3", sel.Session
	case sel.Device != "":
		condition, value = "device_id = $3", sel.Device
	case sel.User != "":
		condition, value = "user_id = $3", sel.User
	case sel.Users != nil:
		args, places := anyOf(sel.Users, 3, func(id identity.UserID) any { return id })
		return endSelected(ctx, tx, at, reason, sel, "user_id IN ("+places+")", args...)
	case sel.Group != "":
		condition, value = "user_id IN ("+ofGroup("$3")+")", sel.Group
	case sel.Team != "":
		condition, value = "user_id IN ("+ofTeam("$3")+")", sel.Team
	case !sel.Before.IsZero():
		condition, value = "created_at < $3", store.Millis(sel.Before)
	case sel.Network.IsValid():
		return endNetwork(ctx, tx, at, reason, sel)
	case sel.ofIDP():
		return endIDP(ctx, tx, at, reason, sel)
	}
	return endSelected(ctx, tx, at, reason, sel, condition, value)
}

// endSelected marks the live sessions of a condition, whose parameters begin at
// $3, as ended, save those that the selector spares.
func endSelected(ctx context.Context, tx *store.Tx, at time.Time, reason string, sel Selector, condition string, args ...any) ([]endedRow, error) {
	until := int64(math.MaxInt64)
	if !sel.Until.IsZero() {
		until = store.Millis(sel.Until)
	}
	spared := "id <> $1 AND created_at <= $2"
	if condition != "" {
		spared += " AND " + condition
	}
	args = append([]any{sel.Except, until}, args...)
	if sel.Session != "" {
		return endAll(ctx, tx, at, reason, spared, args...)
	}
	return endWhere(ctx, tx, at, reason, spared, args...)
}

// ofGroup and ofTeam select the people of a group, and those with a role in a
// team, their own or a group's. People are in a group also through groups that are
// in it.
func ofGroup(id string) string { return within(`id = ` + id) }

func ofTeam(id string) string {
	return `SELECT subject_id FROM assignments WHERE team_id = ` + id + ` AND subject_kind = 'user'
		UNION SELECT user_id FROM (` + within(`id IN (SELECT subject_id FROM assignments WHERE team_id = `+id+` AND subject_kind = 'group')`) + `) g`
}

// within selects the people of those groups for which a condition holds.
func within(groups string) string {
	return `WITH RECURSIVE within (id, depth) AS (SELECT id, 0 FROM groups WHERE ` + groups + `
			UNION SELECT n.member_id, w.depth + 1 FROM within w JOIN group_nestings n ON n.group_id = w.id WHERE w.depth < ` + strconv.Itoa(identity.MaxGroupDepth) + `)
		SELECT DISTINCT m.user_id FROM group_members m WHERE m.group_id IN (SELECT id FROM within)`
}

// peopleOf gives whom a group or team comes to.
func peopleOf(ctx context.Context, tx *store.Tx, sel Selector) ([]identity.UserID, error) {
	if sel.Group != "" {
		return store.All(ctx, tx, store.Scalar[identity.UserID], ofGroup("$1"), sel.Group)
	}
	return store.All(ctx, tx, store.Scalar[identity.UserID], ofTeam("$1"), sel.Team)
}

// endIDP ends what an identity provider names.
func endIDP(ctx context.Context, tx *store.Tx, at time.Time, reason string, sel Selector) ([]endedRow, error) {
	condition, args := "connection_id = $3", []any{sel.Connection}
	if sel.IDPSubject != "" {
		args = append(args, sel.IDPSubject)
		condition += " AND idp_subject = $" + strconv.Itoa(len(args)+2)
	}
	if len(sel.IDPSessions) > 0 {
		places := make([]string, len(sel.IDPSessions))
		for i, id := range sel.IDPSessions {
			args = append(args, id)
			places[i] = "$" + strconv.Itoa(len(args)+2)
		}
		condition += " AND idp_session IN (" + strings.Join(places, ", ") + ")"
	}
	return endSelected(ctx, tx, at, reason, sel, condition, args...)
}

// networkBatch is how many addresses one statement ends the sessions of.
const networkBatch = 500

// endNetwork goes by the addresses that there are: not every database knows what
// a network is.
func endNetwork(ctx context.Context, tx *store.Tx, at time.Time, reason string, sel Selector) (ended []endedRow, err error) {
	all, err := store.All(ctx, tx, store.Scalar[string], `SELECT DISTINCT ip FROM sessions WHERE ended_at IS NULL`)
	if err != nil {
		return nil, err
	}
	within := slices.DeleteFunc(all, func(text string) bool {
		ip, err := netip.ParseAddr(text)
		return err != nil || !sel.Network.Contains(ip)
	})
	for batch := range slices.Chunk(within, networkBatch) {
		args, places := make([]any, len(batch)), make([]string, len(batch))
		for i, ip := range batch {
			args[i], places[i] = ip, "$"+strconv.Itoa(i+3)
		}
		rows, err := endSelected(ctx, tx, at, reason, sel, "ip IN ("+strings.Join(places, ", ")+")", args...)
		if err != nil {
			return nil, err
		}
		ended = append(ended, rows...)
	}
	return ended, nil
}

// endBatch is how many sessions one statement ends: it must be over within the
// database's limit for a statement, on a busy one too.
const endBatch = 1000

// endWhere marks the first [endBatch] of the live sessions of a condition, whose
// parameters begin at $1, as ended. They are named to the statement that ends them:
// one that joined the table with itself could take any time.
func endWhere(ctx context.Context, tx *store.Tx, at time.Time, reason, condition string, args ...any) ([]endedRow, error) {
	ids, err := store.All(ctx, tx, store.Scalar[string],
		`SELECT id FROM sessions WHERE ended_at IS NULL AND `+condition+` LIMIT `+strconv.Itoa(endBatch), args...)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	named, places := anyOf(ids, 1, func(id string) any { return id })
	return endAll(ctx, tx, at, reason, "id IN ("+places+")", named...)
}

// endAll marks all of the live sessions of a condition, which are few, as ended, and
// forgets what was kept to ask about them.
func endAll(ctx context.Context, tx *store.Tx, at time.Time, reason, condition string, args ...any) ([]endedRow, error) {
	n := len(args)
	ended, err := store.All(ctx, tx, func(row store.Row) (endedRow, error) {
		var e endedRow
		var hash []byte
		err := row.Scan(&e.session, &e.device, &hash)
		copy(e.hash[:], hash)
		return e, err
	}, `UPDATE sessions SET ended_at = $`+strconv.Itoa(n+1)+`, end_reason = $`+strconv.Itoa(n+2)+` WHERE ended_at IS NULL AND `+condition+`
		RETURNING id, device_id, token_hash`, append(slices.Clone(args), store.Millis(at), reason)...)
	if err != nil {
		return nil, err
	}
	return ended, forgetRefreshes(ctx, tx, ended)
}

// fromLive is where the sessions are that may be served.
const fromLive = ` FROM sessions s JOIN users u ON u.id = s.user_id AND u.active JOIN devices d ON d.id = s.device_id AND NOT d.blocked
	JOIN connections c ON c.id = s.connection_id AND c.enabled WHERE s.ended_at IS NULL AND `

// served says of a live session that it may be served, as [fromLive] does, and
// leaves no planner another way than from the session to the others: one that reads
// whole tables for some hundred sessions is not to be had by bad luck.
const served = `(SELECT count(*) FROM users u WHERE u.id = s.user_id AND u.active) = 1
	AND (SELECT count(*) FROM devices d WHERE d.id = s.device_id AND NOT d.blocked) = 1
	AND (SELECT count(*) FROM connections c WHERE c.id = s.connection_id AND c.enabled) = 1`

func scanLive(tenant identity.TenantID) func(store.Row) (*Live, error) {
	return func(row store.Row) (*Live, error) {
		var hash, device []byte
		s, err := scanSession(tenant, row, &hash, &device)
		if err != nil {
			return nil, err
		}
		copy(s.DeviceHash[:], device)
		var h TokenHash
		copy(h[:], hash)
		return NewLive(s, h), nil
	}
}

// liveAfter reads one batch of a tenant's live sessions in the order of their
// creation, and tells the place where it ends; more is false once there is nothing
// after it. It is in an order that an index has, with nothing joined to it that a
// planner could begin with, so that it costs the same however many there are; and it
// is read a million times over, so it says what [served] does with fewer look-ups.
func liveAfter(ctx context.Context, tx *store.Tx, tenant identity.TenantID, after Place, limit int) (lives []*Live, end Place, more bool, err error) {
	scan, end := scanLive(tenant), after
	rows, err := store.All(ctx, tx, func(row store.Row) (*Live, error) {
		var counts bool
		live, err := scan(appended{row, &counts})
		if err != nil {
			return nil, err
		}
		end = Place{CreatedAt: live.session.CreatedAt, ID: live.session.ID}
		if !counts || live.session.DeviceHash == (TokenHash{}) {
			return nil, nil
		}
		return live, nil
	}, `SELECT `+sessionColumns+`, s.token_hash, (SELECT d.token_hash FROM devices d WHERE d.id = s.device_id AND NOT d.blocked),
			(SELECT count(*) FROM users u WHERE u.id = s.user_id AND u.active) = 1
			AND s.connection_id IN (SELECT c.id FROM connections c WHERE c.enabled)
		FROM sessions s WHERE s.ended_at IS NULL AND (s.created_at, s.id) > ($1, $2)
		ORDER BY s.ended_at, s.created_at, s.id LIMIT `+strconv.Itoa(limit), store.Millis(after.CreatedAt), after.ID)
	return slices.DeleteFunc(rows, func(live *Live) bool { return live == nil }), end, len(rows) == limit, err
}

// appended is a row with one more column at its end.
type appended struct {
	store.Row
	last any
}

// Scan implements [store.Row].
func (r appended) Scan(dest ...any) error { return r.Row.Scan(append(dest, r.last)...) }

const deviceColumns = `id, user_id, name, kind, os, browser, blocked, first_seen, last_seen, last_ip`

func scanDevice(row store.Row) (Device, error) {
	var d Device
	var ip string
	var first, last int64
	if err := row.Scan(&d.ID, &d.User, &d.Name, &d.Kind, &d.OS, &d.Browser, &d.Blocked, &first, &last, &ip); err != nil {
		return Device{}, err
	}
	d.FirstSeen, d.LastSeen = store.Time(first), store.Time(last)
	d.LastIP, _ = netip.ParseAddr(ip) // empty when it was not known
	return d, nil
}

// seeDevice writes a device that signs in, or refreshes what is known of it;
// the name that its owner gave stays.
func seeDevice(ctx context.Context, tx *store.Tx, d *Device, hash TokenHash) (Device, error) {
	return store.One(ctx, tx, scanDevice, `INSERT INTO devices (`+deviceColumns+`, token_hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (token_hash, user_id) DO UPDATE SET kind = excluded.kind, os = excluded.os, browser = excluded.browser,
			last_seen = excluded.last_seen, last_ip = excluded.last_ip
		RETURNING `+deviceColumns,
		d.ID, d.User, d.Name, d.Kind, d.OS, d.Browser, d.Blocked,
		store.Millis(d.FirstSeen), store.Millis(d.LastSeen), addrText(d.LastIP), hash[:])
}
