package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// ErrUnconfirmed is inside the error of a revocation after which some stream
// is not known to be closed. The sessions are over all the same; repeating the
// call waits for the stream again.
var ErrUnconfirmed = errors.New("sessions: not every stream of the ended sessions has closed")

// Revoke ends the selected sessions: journal, SQL, registry, streams, in this
// order. When it returns without an error, P2 holds for them; the stream of the
// request that asks for it ([Calling]) ends with its answer. Ending what has
// ended already changes nothing, is journalled, and answers zeros; a session that
// never was is NotFound.
//
// Once the record is in the journal, the caller's context no longer stops it.
// A crash between the record and the SQL statement leaves a record of a
// revocation that nobody was told is done; the caller, left without an answer,
// repeats it. After the SQL statement the sessions stay dead: a restarted node
// loads only what SQL calls live. Where SQL cannot be reached, the revocation holds
// without it and is written to it later ([Unsettled]); only a group or a team,
// whose people nobody else knows, cannot be ended so.
func (s *Service) Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, sel Selector, reason string) (Revocation, error) {
	start := time.Now()
	if err := sel.check(); err != nil {
		return Revocation{}, err
	}
	if !s.registry.Partial() {
		if err := s.ready(ctx, tenant); err != nil {
			return Revocation{}, err
		}
	}
	event := revocationEvent(cause, tenant, sel, reason)
	name, known := s.nameOf(ctx, tenant, sel)
	if !known && sel.Session != "" {
		return Revocation{}, errNoSession
	}
	event.Target.Name = name
	receipt, err := s.journal.Commit(ctx, event)
	if err != nil {
		return Revocation{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sel.effectTime())
	defer cancel()
	rows, people, sqlErr := s.endPeople(ctx, tenant, sel, reason)
	deferred := outOfReach(sqlErr) && sel.Group == "" && sel.Team == ""
	var owed Unsettled
	if deferred {
		owed, err = s.without(ctx, cause, tenant, sel, reason, receipt.Event())
		if sqlErr = nil; err != nil {
			sqlErr, deferred = err, false
		}
	}
	rows, ended, err := s.endServed(ctx, tenant, sel, reason, rows, people, sqlErr == nil && !deferred)
	err = errors.Join(sqlErr, err)
	if deferred && err == nil {
		late, again, inSQL, failed := s.withoutTo(ctx, owed)
		ended.add(again)
		rows, deferred, err = late, !inSQL && failed == nil, failed
	}
	done := Revocation{Sessions: len(rows), Devices: countDevices(rows), Connections: ended.Connections,
		Nodes: ended.Nodes, Took: time.Since(start), Event: receipt.Event(), Deferred: deferred}
	if deferred {
		done.Sessions, done.Devices = len(ended.Sessions), len(slices.Compact(slices.Sorted(slices.Values(ended.Devices))))
	}
	if err != nil {
		return done, unavailable(fmt.Errorf("end sessions: %w", err))
	}
	if ended.Lingering > 0 || !done.Confirmed() {
		f := fault.Wrap(fmt.Errorf("%w: %d", ErrUnconfirmed, ended.Lingering), fault.Unavailable, "revocation-unconfirmed",
			"The sessions are ended, but a connection has not been seen to close yet. Try again in a moment.")
		f.RetryAfter = time.Second
		return done, f.WithEvent(string(receipt.Event()))
	}
	return done, nil
}

// end ends the selected sessions in SQL and in the registry.
func (s *Service) end(ctx context.Context, tenant identity.TenantID, sel Selector, reason string) ([]endedRow, Ended, error) {
	rows, people, sqlErr := s.endPeople(ctx, tenant, sel, reason)
	// Also without SQL: they must not be served here while the caller retries.
	rows, ended, err := s.endServed(ctx, tenant, sel, reason, rows, people, sqlErr == nil)
	return rows, ended, errors.Join(sqlErr, err)
}

// endServed ends the selected sessions in the registry, after SQL has ended rows;
// inSQL says that it has got the revocation.
func (s *Service) endServed(ctx context.Context, tenant identity.TenantID, sel Selector, reason string, rows []endedRow, people []identity.UserID, inSQL bool) ([]endedRow, Ended, error) {
	ended, err := s.endOnNodes(ctx, tenant, sel, people, hashesOf(rows), reason)
	if err != nil || !inSQL {
		return rows, ended, err
	}
	// A sign-in under way may have written its row between the two steps. If it
	// does so only after this one, it sees that its session has ended (admit).
	known := make(map[identity.SessionID]bool, len(rows))
	for _, row := range rows {
		known[row.session] = true
	}
	for _, id := range ended.Sessions {
		if known[id] {
			continue
		}
		late, err := s.endInSQL(ctx, tenant, Selector{Session: id}, reason)
		if err != nil {
			return rows, ended, err
		}
		rows = append(rows, late...)
	}
	return rows, ended, nil
}

// endPeople ends the selected sessions in SQL, and tells whom a group or team
// comes to.
func (s *Service) endPeople(ctx context.Context, tenant identity.TenantID, sel Selector, reason string) (rows []endedRow, people []identity.UserID, err error) {
	if sel.Group == "" && sel.Team == "" {
		rows, err = s.endInSQL(ctx, tenant, sel, reason)
		return rows, nil, err
	}
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		if people, err = peopleOf(ctx, tx, sel); err != nil {
			return err
		}
		if err = s.withhold(ctx, tx, Selector{Users: people}); err != nil {
			return err
		}
		rows, err = endRows(ctx, tx, sel, time.Now(), reason)
		return err
	})
	if err != nil || len(rows) < endBatch {
		return rows, people, err
	}
	// Of these people: who belongs to it may have changed since, and nobody else is
	// told of to the nodes.
	for batch := range slices.Chunk(people, peopleBatch) {
		more, err := s.endInSQL(ctx, tenant, Selector{Users: batch, Except: sel.Except}, reason)
		if rows = append(rows, more...); err != nil {
			return rows, people, err
		}
	}
	return rows, people, nil
}

// peopleBatch is how many people the nodes are told of at once.
const peopleBatch = 100

// endOnNodes ends the selected sessions in the registry.
func (s *Service) endOnNodes(ctx context.Context, tenant identity.TenantID, sel Selector, people []identity.UserID, hashes []TokenHash, reason string) (Ended, error) {
	if sel.Group == "" && sel.Team == "" {
		return s.registry.End(ctx, tenant, sel, hashes, reason)
	}
	all := Ended{}
	batches := slices.Collect(slices.Chunk(people, peopleBatch))
	if len(batches) == 0 {
		batches = [][]identity.UserID{{}} // the nodes confirm that it is nobody
	}
	for _, batch := range batches {
		ended, err := s.registry.End(ctx, tenant, Selector{Users: batch, Except: sel.Except}, hashes, reason)
		all.add(ended)
		if err != nil {
			return all, err
		}
		hashes = nil // all of them are done
	}
	return all, nil
}

// add sums up two ends; a node has confirmed what it has confirmed of both.
func (e *Ended) add(o Ended) {
	e.Sessions, e.Devices = append(e.Sessions, o.Sessions...), append(e.Devices, o.Devices...)
	e.Connections += o.Connections
	e.Lingering += o.Lingering
	for _, n := range o.Nodes {
		i := slices.IndexFunc(e.Nodes, func(known NodeConfirmation) bool { return known.ID == n.ID })
		if i < 0 {
			e.Nodes = append(e.Nodes, n)
			continue
		}
		known := &e.Nodes[i]
		over := (known.Confirmed || known.LeaseExpired) && (n.Confirmed || n.LeaseExpired)
		known.Confirmed = known.Confirmed && n.Confirmed
		known.LeaseExpired = over && !known.Confirmed
	}
}

// effectTime bounds the end of what is selected.
func (sel Selector) effectTime() time.Duration {
	if sel.Session != "" || sel.Device != "" || sel.User != "" {
		return effectTime
	}
	return manyTime
}

// endInSQL marks the selected sessions as ended, some at a time. After an error,
// rows are those that are.
func (s *Service) endInSQL(ctx context.Context, tenant identity.TenantID, sel Selector, reason string) (rows []endedRow, err error) {
	for {
		batch, err := s.endSome(ctx, tenant, sel, reason)
		if err != nil {
			return rows, err
		}
		if rows = append(rows, batch...); len(batch) < endBatch {
			return rows, nil
		}
	}
}

func (s *Service) endSome(ctx context.Context, tenant identity.TenantID, sel Selector, reason string) (batch []endedRow, err error) {
	ctx, cancel := context.WithTimeout(ctx, sqlTime)
	defer cancel()
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		if err = s.withhold(ctx, tx, sel); err != nil {
			return err
		}
		batch, err = endRows(ctx, tx, sel, time.Now(), reason)
		return err
	})
	return batch, err
}

func hashesOf(rows []endedRow) []TokenHash {
	hashes := make([]TokenHash, len(rows))
	for i := range rows {
		hashes[i] = rows[i].hash
	}
	return hashes
}

func countDevices(rows []endedRow) int {
	devices := map[identity.DeviceID]bool{}
	for _, row := range rows {
		devices[row.device] = true
	}
	return len(devices)
}

// EndUser ends all sessions of a person, for the directory: when it returns
// without an error, P2 holds for that person.
func (s *Service) EndUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, reason string) (int, error) {
	done, err := s.Revoke(ctx, cause, tenant, Selector{User: user}, reason)
	return done.Sessions, err
}

var errSelector = fault.New(fault.Invalid, "selector-invalid", "Select the sessions by exactly one of session, device, user, connection, group, team, network, before and all.")

// MaxIDPSessions is the most sessions that an identity provider may name at once.
const MaxIDPSessions = 20

// maxSelector bounds a selector, in bytes: the nodes are told of it in one message.
const maxSelector = 3 << 10

var errIDP = fault.New(fault.Invalid, "selector-invalid", "An identity provider's subject and sessions go with its connection, and no more than 20 sessions, each with a name, which take 3 KiB at most.")

func (sel Selector) check() error {
	chosen := []bool{sel.Session != "", sel.Device != "", sel.User != "", sel.Connection != "", sel.Group != "", sel.Team != "",
		sel.Network.IsValid(), !sel.Before.IsZero(), sel.All}
	if len(slices.DeleteFunc(chosen, func(set bool) bool { return !set })) != 1 || sel.Users != nil {
		return errSelector
	}
	// No name of a session is no session's name: those without one are many.
	if sel.ofIDP() && sel.Connection == "" || len(sel.IDPSessions) > MaxIDPSessions || slices.Contains(sel.IDPSessions, "") {
		return errIDP
	}
	if text, err := json.Marshal(sel); err != nil || len(text) > maxSelector {
		return errIDP
	}
	return nil
}

func revocationEvent(cause audit.Cause, tenant identity.TenantID, sel Selector, reason string) audit.Event {
	t := audit.SessionsRevoked
	if reason == ReasonSignedOut {
		t = audit.SignedOut
	}
	event := cause.Event(tenant, t, audit.Success)
	event.Reason = reason
	switch {
	case sel.All:
		event.Target = audit.Target{Kind: "tenant", ID: string(tenant)}
	case sel.Session != "":
		event.Target = audit.Target{Kind: "session", ID: string(sel.Session)}
	case sel.Device != "":
		event.Target, event.Device = audit.Target{Kind: "device", ID: string(sel.Device)}, sel.Device
	case sel.User != "":
		event.Target = audit.Target{Kind: "user", ID: string(sel.User)}
	case sel.Group != "":
		event.Target = audit.Target{Kind: "group", ID: string(sel.Group)}
	case sel.Team != "":
		event.Target = audit.Target{Kind: "team", ID: string(sel.Team)}
	case sel.Network.IsValid():
		event.Target = audit.Target{Kind: "network", ID: sel.Network.String()}
	case !sel.Before.IsZero():
		event.Target = audit.Target{Kind: "sign-ins-before", ID: sel.Before.UTC().Format(time.RFC3339Nano)}
	case sel.IDPSubject != "":
		event.Target, event.Connection = audit.Target{Kind: "idp-subject", ID: sel.IDPSubject}, sel.Connection
	case len(sel.IDPSessions) > 0:
		event.Target, event.Connection = audit.Target{Kind: "idp-session", ID: strings.Join(sel.IDPSessions, " ")}, sel.Connection
	default:
		event.Target, event.Connection = audit.Target{Kind: "connection", ID: string(sel.Connection)}, sel.Connection
	}
	if sel.IDPSubject != "" && len(sel.IDPSessions) > 0 {
		event.Message = "Only " + strings.Join(sel.IDPSessions, " ") + " of the identity provider's sessions."
	}
	if sel.Except != "" {
		event.Message = "Except session " + string(sel.Except) + "."
	}
	return event
}

// nameTime bounds how long a revocation waits for a name.
const nameTime = time.Second

// nameOf is what a reader of the journal knows the selected by: a device, its
// person, or both. It is empty where nothing is known any more; no revocation
// waits for a word to call it by. known is false if SQL says that there is nothing
// of the kind.
func (s *Service) nameOf(ctx context.Context, tenant identity.TenantID, sel Selector) (name string, known bool) {
	const person = `coalesce(nullif(u.email, ''), nullif(u.display_name, ''), u.user_name, '')`
	var query, id string
	var more []any
	switch {
	case sel.Session != "":
		query, id = `SELECT coalesce(d.name, ''), `+person+` FROM sessions s
			LEFT JOIN devices d ON d.id = s.device_id LEFT JOIN users u ON u.id = s.user_id WHERE s.id = $1`, string(sel.Session)
	case sel.Device != "":
		query, id = `SELECT d.name, `+person+` FROM devices d LEFT JOIN users u ON u.id = d.user_id WHERE d.id = $1`, string(sel.Device)
	case sel.User != "":
		query, id = `SELECT '', `+person+` FROM users u WHERE u.id = $1`, string(sel.User)
	case sel.Group != "":
		query, id = `SELECT '', display_name FROM groups WHERE id = $1`, string(sel.Group)
	case sel.Team != "":
		query, id = `SELECT '', name FROM teams WHERE id = $1`, string(sel.Team)
	case sel.IDPSubject != "":
		query, id = `SELECT '', `+person+` FROM identities i JOIN users u ON u.id = i.user_id WHERE i.connection_id = $1 AND i.subject = $2`, string(sel.Connection)
		more = []any{sel.IDPSubject}
	case sel.Connection != "":
		query, id = `SELECT '', name FROM connections WHERE id = $1`, string(sel.Connection)
	default:
		return "", true
	}
	var names [2]string
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		names, err = store.One(ctx, tx, func(row store.Row) (n [2]string, err error) {
			err = row.Scan(&n[0], &n[1])
			return n, err
		}, query, append([]any{id}, more...)...)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		s.log.Warn("what a revocation is about was not found out", "tenant", tenant, "error", err)
	}
	return strings.Join(slices.DeleteFunc(names[:], func(name string) bool { return name == "" }), " of "), !errors.Is(err, store.ErrNoRows)
}
