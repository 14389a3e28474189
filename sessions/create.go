package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

var (
	errInactive = fault.New(fault.Denied, "user-inactive", "This account is not active. Ask your administrator.")
	errBlocked  = fault.New(fault.Denied, "device-blocked", "Your administrator has blocked this device. Sign in on another one, or ask them to let it in again.")
	errClosed   = fault.New(fault.Denied, "connection-disabled", "This way of signing in has been closed. Ask your administrator.")
	errChanged  = fault.New(fault.Denied, "connection-changed", "This way of signing in was changed while you signed in. Sign in again.")
	errDisowned = fault.New(fault.Denied, "allowing-session-over", "The sign-in in which this was allowed has ended. Sign in and allow it again.")
	errRevoked  = fault.New(fault.Unauthenticated, "session-revoked", "This sign-in was ended while it was being made. Sign in again.")
)

// Create makes a session: it journals the sign-in, and device.new for a device
// not seen before, ends the session that the browser had until now, and writes
// the new one. A person who is not active, at whatever moment they were
// deactivated, a blocked device and a connection that is disabled, gone or not
// the same any more are Denied faults; one that comes about after the record
// makes no session, and the caller records the refusal.
func (s *Service) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, n NewSession) (Created, error) {
	if err := s.ready(ctx, tenant); err != nil {
		return Created{}, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	if n.Program != nil {
		program := *n.Program // which is the caller's, and may follow a renewal
		n.Program = &program
	}
	if err := s.follow(ctx, tenant, &n); err != nil {
		return Created{}, err
	}
	made, deviceHash, err := s.recognise(ctx, tenant, n, now)
	if err != nil {
		return Created{}, err
	}
	if err := s.room(ctx, tenant, n, now); err != nil {
		return Created{}, err
	}
	if err := s.boundProgram(ctx, tenant, &n); err != nil {
		return Created{}, err
	}
	hint, err := s.sealHint(ctx, tenant, n.LogoutHint)
	if err != nil {
		return Created{}, err
	}
	token, hash := newToken()
	if n.Program != nil {
		token, hash = newProgramToken()
	}
	made.Token, made.Session = token, s.signedIn(tenant, n, now)
	made.Session.Device, made.Session.DeviceHash = made.Device.ID, deviceHash
	refresh, err := s.sealRefresh(ctx, tenant, n)
	if err != nil {
		return Created{}, err
	}
	if err := s.record(ctx, cause, &made, n.Details); err != nil {
		return Created{}, err
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	if err := s.replace(ctx, cause, tenant, n.Replaces); err != nil {
		return Created{}, err
	}
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		// Two sign-ins at once of one new device are one device.
		made.Device, err = seeDevice(ctx, tx, &made.Device, deviceHash)
		return err
	})
	if err != nil {
		return Created{}, unavailable(fmt.Errorf("write the device: %w", err))
	}
	made.Session.Device = made.Device.ID
	for range admitTries {
		if err = s.follow(ctx, tenant, &n); err != nil {
			return Created{}, err
		}
		if err = s.makeRoom(ctx, cause, tenant, &n, now); err != nil {
			return Created{}, err
		}
		if err = s.admit(ctx, NewLive(made.Session, hash), &n, hint, refresh); !errors.Is(err, errNoRoom) && !errors.Is(err, errDisowned) {
			break // no sign-in of the same person came in between, and no renewal
		}
	}
	if errors.Is(err, errNoRoom) {
		err = errFull(s.limits(tenant).PerPerson)
	}
	if err != nil {
		return Created{}, err
	}
	return made, nil
}

// admitTries is how often room is made for a session that others take, and how often
// the session that allows it may be renewed meanwhile.
const admitTries = 3

var errNoRoom = errors.New("sessions: the person has as many sessions as the tenant allows")

// recognise finds the device that signs in, or makes a new one, and refuses
// early whom insertSession would refuse.
func (s *Service) recognise(ctx context.Context, tenant identity.TenantID, n NewSession, now time.Time) (Created, TokenHash, error) {
	hash, sent := n.deviceHash()
	var active, known bool
	var device Device
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		active, err = store.One(ctx, tx, store.Scalar[bool], `SELECT active FROM users WHERE id = $1`, n.User)
		if err != nil || !sent {
			return err
		}
		// A token that nobody here was given, of whatever origin, is not adopted.
		known, err = store.One(ctx, tx, store.Scalar[bool], `SELECT EXISTS (SELECT 1 FROM devices WHERE token_hash = $1)`, hash[:])
		if err != nil || !known {
			return err
		}
		device, err = store.One(ctx, tx, scanDevice,
			`SELECT `+deviceColumns+` FROM devices WHERE token_hash = $1 AND user_id = $2`, hash[:], n.User)
		if errors.Is(err, store.ErrNoRows) { // somebody else's browser as well
			err = nil
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Created{}, hash, errInactive
	case err != nil:
		return Created{}, hash, unavailable(err)
	case !active:
		return Created{}, hash, errInactive
	case device.Blocked:
		return Created{}, hash, errBlocked
	}
	made := Created{DeviceToken: n.DeviceToken, Device: device}
	if !known {
		made.DeviceToken, hash = n.newDeviceToken()
	}
	a := n.agent()
	if device.ID == "" {
		made.NewDevice = true
		made.Device = Device{ID: identity.NewDeviceID(), User: n.User, Name: a.name(), FirstSeen: now}
	}
	made.Device.Kind, made.Device.OS, made.Device.Browser = a.kind, a.os, a.browser
	made.Device.LastSeen, made.Device.LastIP = now, n.IP
	return made, hash, nil
}

func (s *Service) sealHint(ctx context.Context, tenant identity.TenantID, hint string) ([]byte, error) {
	if hint == "" || len(hint) > MaxLogoutHint {
		return nil, nil
	}
	sealed, err := s.keys.Seal(ctx, tenant, sealPurpose, []byte(hint))
	if err != nil {
		return nil, unavailable(fmt.Errorf("seal the logout hint: %w", err))
	}
	return sealed, nil
}

func (s *Service) signedIn(tenant identity.TenantID, n NewSession, now time.Time) Session {
	// By the clock of the identity provider, which must not make them last longer.
	auth, factor := notAfter(n.AuthAt, now), notAfter(n.FactorAt, now)
	absolute := s.limits(tenant).Absolute
	return Session{
		ID: identity.NewSessionID(), Tenant: tenant, User: n.User, Connection: n.Connection,
		IDPSubject: n.IDPSubject, IDPSession: n.IDPSession, AMR: n.AMR, ACR: n.ACR,
		IP: n.IP, UserAgent: clip(n.UserAgent, maxUserAgent), Program: n.Program != nil, AuthAt: auth, FactorAt: factor,
		CreatedAt: now, SeenAt: now, ExpiresAt: sooner(until(now, absolute), n.Until), Until: n.Until.UTC(),
	}
}

func notAfter(at, now time.Time) time.Time {
	if at.After(now) {
		return now
	}
	return at.UTC()
}

// until is when a limit is reached; zero without a limit.
func until(from time.Time, limit time.Duration) time.Time {
	if limit <= 0 {
		return time.Time{}
	}
	return from.Add(limit)
}

// sooner is the first of two moments of which either may be none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// record writes down the sign-in and the new device, before there is either.
func (s *Service) record(ctx context.Context, cause audit.Cause, made *Created, details map[string]string) error {
	about := func(t audit.Type, target audit.Target) audit.Event {
		e := cause.Event(made.Session.Tenant, t, audit.Success)
		e.Session, e.Device, e.Connection, e.Target = made.Session.ID, made.Device.ID, made.Session.Connection, target
		return e
	}
	if made.NewDevice {
		if _, err := s.journal.Commit(ctx, about(audit.DeviceNew, audit.Target{Kind: "device", ID: string(made.Device.ID), Name: made.Device.Name})); err != nil {
			return err
		}
	}
	signIn := about(audit.SignInSucceeded, audit.Target{Kind: "session", ID: string(made.Session.ID)})
	signIn.Details = maps.Clone(details)
	if signIn.Details == nil {
		signIn.Details = map[string]string{}
	}
	signIn.Details["new_device"] = strconv.FormatBool(made.NewDevice)
	_, err := s.journal.Commit(ctx, signIn)
	return err
}

// replace ends the session that the browser comes with: a sign-in never goes
// on with a token that was known before it, and leaves no session that no
// cookie leads to.
func (s *Service) replace(ctx context.Context, cause audit.Cause, tenant identity.TenantID, token string) error {
	hash, ok := hashToken(token)
	old, err := s.lookup(ctx, tenant, hash, ok)
	if fault.Is(err, fault.Unauthenticated) {
		return nil
	}
	if err == nil {
		_, err = s.Revoke(ctx, cause, tenant, Selector{Session: old.session.ID}, ReasonReplaced)
	}
	if errors.Is(err, ErrUnconfirmed) {
		return nil // logged; the old session is over, only its stream hangs
	}
	return err
}

// admit makes the session findable and writes its row. Nobody knows the token
// yet, so the order is free, and this one lets a revocation that comes between
// find the session in both places (see [Registry]).
func (s *Service) admit(ctx context.Context, live *Live, n *NewSession, hint []byte, refresh newRefresh) error {
	if err := s.registry.Add(ctx, live); err != nil {
		return unavailable(err)
	}
	var inserted bool
	err := s.store.Tenant(live.session.Tenant).Write(ctx, func(tx *store.Tx) (err error) {
		if allowed, err := s.allowed(ctx, tx, live.session.Tenant, n); err != nil || !allowed {
			return err
		}
		inserted, err = insertSession(ctx, tx, &live.session, n, live.hash, hint, s.limits(live.session.Tenant))
		if err != nil || !inserted {
			return err
		}
		return insertRefresh(ctx, tx, &live.session, refresh)
	})
	this := Selector{Session: live.session.ID}
	if err != nil || !inserted {
		if _, endErr := s.registry.End(ctx, live.session.Tenant, this, []TokenHash{live.hash}, ReasonUnfinished); endErr != nil {
			err = errors.Join(err, endErr)
		}
		if err != nil {
			return unavailable(fmt.Errorf("write the session: %w", err))
		}
		return s.refusal(ctx, live, n)
	}
	if live.Ended() {
		// Revoked before its row was there: the row must not outlive it.
		if _, err := s.endInSQL(ctx, live.session.Tenant, this, ReasonUnfinished); err != nil {
			return unavailable(err)
		}
		return errRevoked
	}
	return nil
}

// refusal tells why insertSession has inserted nothing.
func (s *Service) refusal(ctx context.Context, live *Live, n *NewSession) error {
	var active, blocked, open, same, allowed bool
	err := s.store.Tenant(live.session.Tenant).Read(ctx, func(tx *store.Tx) (err error) {
		active, err = store.One(ctx, tx, store.Scalar[bool],
			`SELECT EXISTS (SELECT 1 FROM users WHERE id = $1 AND active)`, live.session.User)
		if err != nil {
			return err
		}
		blocked, err = store.One(ctx, tx, store.Scalar[bool],
			`SELECT EXISTS (SELECT 1 FROM devices WHERE id = $1 AND blocked)`, live.session.Device)
		if err != nil {
			return err
		}
		open, err = store.One(ctx, tx, store.Scalar[bool],
			`SELECT EXISTS (SELECT 1 FROM connections WHERE id = $1 AND enabled)`, live.session.Connection)
		if err != nil {
			return err
		}
		same, err = store.One(ctx, tx, store.Scalar[bool],
			`SELECT EXISTS (SELECT 1 FROM connections WHERE id = $1 AND version = $2)`, live.session.Connection, n.ConnectionVersion)
		if err != nil {
			return err
		}
		allowed, err = s.allowed(ctx, tx, live.session.Tenant, n)
		return err
	})
	switch {
	case err != nil:
		return unavailable(err)
	case blocked:
		return errBlocked
	case !open:
		return errClosed
	case !allowed:
		return errDisowned
	case !same:
		return errChanged
	case active:
		return errNoRoom
	}
	return errInactive
}
