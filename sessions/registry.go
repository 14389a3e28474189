package sessions

import (
	"context"
	"errors"
	"iter"
	"slices"

	"gatehouse/identity"
)

// ErrNotLoaded is a registry's answer for a tenant whose sessions it has not
// been given yet: it cannot say who is signed in.
var ErrNotLoaded = errors.New("sessions: the tenant's sessions are not loaded")

// Registry holds the live sessions for the request path. SQL is the record;
// the registry is filled from it and told of every change after it. One that
// several nodes share need not hold all of a tenant's sessions: what it does not
// hold it looks up.
// Package sessiontest holds what every registry must do.
type Registry interface {
	// Find gives the live session with this token hash; nil if there is none,
	// [ErrNotLoaded] if the registry does not know the tenant's sessions.
	Find(ctx context.Context, tenant identity.TenantID, hash TokenHash) (*Live, error)
	// Loaded reports whether the tenant's sessions are known.
	Loaded(tenant identity.TenantID) bool
	// Load gives the registry all of a tenant's live sessions. Only when it
	// returns nil is the tenant loaded. A registry that looks up what it does not
	// hold may stop early.
	Load(ctx context.Context, tenant identity.TenantID, all iter.Seq2[*Live, error]) error
	// Add makes a session findable. It is called before the session's row is
	// committed, and so before anybody knows the token: a revocation that sees
	// the row in SQL then also finds the session here.
	Add(ctx context.Context, live *Live) error
	// End takes the selected sessions away on every node, closes what they have
	// open there, and returns when that is so, or says of which node it is not
	// known. Sessions of an earlier End whose streams have not all left are
	// selected, closed and waited for again. The selector names no group and no
	// team, but the people in it. The stream of ctx ([Calling]) stays
	// open and is not waited for. The hashes are those of the sessions that SQL has
	// ended just before.
	End(ctx context.Context, tenant identity.TenantID, sel Selector, hashes []TokenHash, reason string) (Ended, error)
	// Partial reports whether sessions can be ended that the registry was not given:
	// of a tenant that is not loaded.
	Partial() bool
	// Withhold has every node go by a revocation that SQL has not got, whatever SQL
	// says of its sessions, and returns when that is so. It is called before End.
	Withhold(ctx context.Context, u Unsettled) error
	// Withheld gives the revocations that this node goes by and that it does not know
	// SQL to have got.
	Withheld() []Unsettled
	// Settled tells that SQL has got a revocation by now. Whoever ended has found all
	// that it ends there, and has called End with them.
	Settled(u Unsettled, ended bool)
	// All gives the tenant's live sessions that this node knows, in no order.
	All(tenant identity.TenantID) iter.Seq[*Live]
	// Active gives those of them that have something open, or were used since SQL was
	// told so.
	Active(tenant identity.TenantID) iter.Seq[*Live]
	// Tenants gives the tenants that are loaded.
	Tenants() []identity.TenantID
	// Forget drops a tenant that is deleted; its sessions have been ended before.
	Forget(tenant identity.TenantID)
	// Close waits for what the registry has under way.
	Close() error
}

// Ended is what a registry did to end sessions.
type Ended struct {
	Sessions    []identity.SessionID // that were live on this node until now
	Devices     []identity.DeviceID  // of these, in the same order
	Connections int                  // requests and streams that were open and have left
	Lingering   int                  // that were told to close and have not left in time
	Nodes       []NodeConfirmation
}

// Selects reports whether a revocation with this selector ends the session.
func (sel Selector) Selects(s *Session) bool {
	if sel.Except != "" && sel.Except == s.ID || !sel.Until.IsZero() && s.CreatedAt.After(sel.Until) {
		return false
	}
	switch {
	case sel.All:
		return true
	case sel.Session != "":
		return sel.Session == s.ID
	case sel.Device != "":
		return sel.Device == s.Device
	case sel.User != "":
		return sel.User == s.User
	case sel.Users != nil:
		return slices.Contains(sel.Users, s.User)
	case sel.Network.IsValid():
		return sel.Network.Contains(s.IP.Unmap())
	case !sel.Before.IsZero():
		return s.CreatedAt.Before(sel.Before)
	default:
		return sel.Connection != "" && sel.Connection == s.Connection &&
			(sel.IDPSubject == "" || sel.IDPSubject == s.IDPSubject) &&
			(len(sel.IDPSessions) == 0 || slices.Contains(sel.IDPSessions, s.IDPSession))
	}
}

// ofIDP reports whether the selector means what an identity provider calls by a
// name of its own.
func (sel Selector) ofIDP() bool { return sel.IDPSubject != "" || len(sel.IDPSessions) > 0 }
