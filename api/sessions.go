package api

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"time"

	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// The API's own objects; the app's route table may not use the prefix.
func reads(object string) authz.Permission {
	return authz.Permission{Object: "gatehouse." + object, Action: "read"}
}
func writes(object string) authz.Permission {
	return authz.Permission{Object: "gatehouse." + object, Action: "write"}
}
func deletes(object string) authz.Permission {
	return authz.Permission{Object: "gatehouse." + object, Action: "delete"}
}

// endedByAdmin is the reason of sessions that somebody with the permission ended.
const endedByAdmin = "admin"

// session is one sign-in with the names that a reader needs beside the ids.
type session struct {
	ID          identity.SessionID `json:"id"`
	User        userRef            `json:"user"`
	Device      deviceRef          `json:"device"`
	Connection  string             `json:"connection" doc:"Name of the connection that the person signed in by"`
	IP          string             `json:"ip,omitempty" doc:"Address at sign-in"`
	SignedInAt  time.Time          `json:"signed_in_at"`
	LastSeenAt  time.Time          `json:"last_seen_at"`
	ExpiresAt   time.Time          `json:"expires_at"`
	EndedAt     *time.Time         `json:"ended_at,omitempty"`
	EndReason   string             `json:"end_reason,omitempty"`
	Connections int                `json:"open_connections" doc:"Requests and streams that are open now on this node"`
	Current     bool               `json:"current" doc:"Whether it is the session that asks"`
}

type userRef struct {
	ID    identity.UserID `json:"id"`
	Name  string          `json:"name,omitempty"`
	Email string          `json:"email,omitempty"`
}

type deviceRef struct {
	ID      identity.DeviceID `json:"id"`
	Name    string            `json:"name,omitempty"`
	Kind    string            `json:"kind,omitempty"`
	OS      string            `json:"os,omitempty"`
	Browser string            `json:"browser,omitempty"`
	Blocked bool              `json:"blocked,omitempty"`
}

type listSessionsInput struct {
	Paging
	User   identity.UserID   `query:"user" maxLength:"64"`
	Device identity.DeviceID `query:"device" maxLength:"64"`
	IP     string            `query:"ip" maxLength:"64"`
	State  string            `query:"state" enum:"live,ended,all" default:"live"`
}

// revocation is the contract's answer: it is given once no request of those
// sessions is forwarded any more (promise P2).
type revocation struct {
	Sessions    int              `json:"sessions"`
	Devices     int              `json:"devices"`
	Connections int              `json:"connections_closed"`
	Nodes       []nodeView       `json:"nodes"`
	TookMS      int64            `json:"took_ms"`
	EventID     identity.EventID `json:"event_id"`
	Deferred    bool             `json:"deferred,omitempty" doc:"Whether the database could not be reached: then it is written there later, holds all the same, and sessions and devices count what this node knew of"`
}

type nodeView struct {
	ID        string       `json:"id"`
	Confirmed confirmation `json:"confirmed"`
}

func (a *API) registerSessions() {
	register(a, operation{id: "list-sessions", method: http.MethodGet, path: "/sessions", tag: "Sessions", needs: reads("sessions"),
		summary: "List sessions, newest first"}, a.listSessions)
	register(a, operation{id: "end-session", method: http.MethodDelete, path: "/sessions/{id}", tag: "Sessions", needs: deletes("sessions"),
		summary: "Sign one session out"}, a.endSession)
	register(a, operation{id: "revoke-sessions", method: http.MethodPost, path: "/sessions/revoke", tag: "Sessions", needs: deletes("sessions"),
		status: http.StatusOK, summary: "Sign out a person, a device, the people of a connection, a group or a team, those of a network, those who signed in before a time, or everybody"}, a.revokeSessions)
}

func (a *API) listSessions(ctx context.Context, c *call, in *listSessionsInput) (*pageOutput[session], error) {
	filter := sessions.Filter{User: in.User, Device: in.Device, Limit: in.Limit, Cursor: in.Cursor}
	if in.State != "all" {
		filter.State = in.State
	}
	if in.IP != "" {
		ip, err := netip.ParseAddr(in.IP)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "bad-ip", "ip is not an IP address.")
		}
		filter.IP = ip.String()
	}
	return a.sessionPage(ctx, c, filter)
}

func (a *API) sessionPage(ctx context.Context, c *call, filter sessions.Filter) (*pageOutput[session], error) {
	found, next, err := a.cfg.Sessions.List(ctx, c.tenant(), filter)
	if err != nil {
		return nil, err
	}
	names, err := a.connectionNames(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	open := a.cfg.Sessions.Open(c.tenant())
	refs := a.references(c.tenant())
	return pageOf(found, next, func(s sessions.Session) session {
		return session{ID: s.ID, User: refs.user(ctx, s.User), Device: refs.device(ctx, s.Device), Connection: names[s.Connection], IP: address(s.IP),
			SignedInAt: cmp.Or(s.AuthAt, s.CreatedAt).UTC(), LastSeenAt: s.SeenAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
			EndedAt: timestamp(s.EndedAt), EndReason: s.EndReason, Connections: open[s.ID], Current: s.ID == c.principal.Session}
	}), nil
}

func (a *API) endSession(ctx context.Context, c *call, in *ByID[identity.SessionID]) (*bodyOutput[revocation], error) {
	return a.revoke(ctx, c, sessions.Selector{Session: in.ID}, endedByAdmin)
}

type revokeInput struct {
	Body struct {
		User          identity.UserID   `json:"user,omitempty" maxLength:"64"`
		Device        identity.DeviceID `json:"device,omitempty" maxLength:"64"`
		Connection    string            `json:"connection,omitempty" maxLength:"64" doc:"Name or id of a connection"`
		Group         identity.GroupID  `json:"group,omitempty" maxLength:"64" doc:"Whose people are signed out, also those who are in it through other groups"`
		Team          string            `json:"team,omitempty" maxLength:"64" doc:"Name or id of a team; whoever has a role in it is signed out"`
		Network       string            `json:"network,omitempty" maxLength:"64" example:"192.0.2.0/24" doc:"Addresses (CIDR) from which people signed in"`
		Before        time.Time         `json:"before,omitzero" doc:"Everybody who signed in before this time is signed out"`
		All           bool              `json:"all,omitempty"`
		ExceptCurrent bool              `json:"except_current,omitempty" doc:"Spare the session that asks"`
	}
}

func (a *API) revokeSessions(ctx context.Context, c *call, in *revokeInput) (*bodyOutput[revocation], error) {
	which := sessions.Selector{User: in.Body.User, Device: in.Body.Device, Group: in.Body.Group, Before: in.Body.Before, All: in.Body.All}
	chosen := 0
	for _, given := range []bool{in.Body.User != "", in.Body.Device != "", in.Body.Connection != "", in.Body.Group != "",
		in.Body.Team != "", in.Body.Network != "", !in.Body.Before.IsZero(), in.Body.All} {
		if given {
			chosen++
		}
	}
	if chosen != 1 {
		return nil, fault.New(fault.Invalid, "choose-one", "Give exactly one of user, device, connection, group, team, network, before and all.")
	}
	var err error
	switch {
	case which.User != "":
		_, err = a.cfg.People.User(ctx, c.tenant(), which.User)
		err = reached(err)
	case which.Device != "":
		_, err = a.cfg.Sessions.Device(ctx, c.tenant(), which.Device)
		err = reached(err)
	case in.Body.Connection != "":
		which.Connection, err = a.connectionID(ctx, c.tenant(), in.Body.Connection)
	case which.Group != "":
		_, err = a.cfg.People.Group(ctx, c.tenant(), which.Group, false)
	case in.Body.Team != "":
		which.Team, err = a.teamID(ctx, c.tenant(), in.Body.Team)
	case in.Body.Network != "":
		which.Network, err = network(in.Body.Network)
	}
	if err != nil {
		return nil, err
	}
	if in.Body.ExceptCurrent {
		which.Except = c.principal.Session
	}
	return a.revoke(ctx, c, which, endedByAdmin)
}

// reached passes over that the database cannot be asked whether there is what was
// named by its id: signing somebody out must not wait for it.
func reached(err error) error {
	if fault.Is(err, fault.Unavailable) {
		return nil
	}
	return err
}

func (a *API) revoke(ctx context.Context, c *call, which sessions.Selector, reason string) (*bodyOutput[revocation], error) {
	done, err := a.cfg.Sessions.Revoke(ctx, c.cause, c.tenant(), which, reason)
	if err != nil {
		return nil, err
	}
	out := revocation{Sessions: done.Sessions, Devices: done.Devices, Connections: done.Connections, Nodes: []nodeView{},
		TookMS: done.Took.Milliseconds(), EventID: done.Event, Deferred: done.Deferred}
	for _, node := range done.Nodes {
		out.Nodes = append(out.Nodes, nodeView{ID: node.ID, Confirmed: confirmation(node.Confirmed)})
	}
	return &bodyOutput[revocation]{out}, nil
}

// network reads addresses in the form of CIDR, or one address.
func network(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fault.New(fault.Invalid, "bad-network", "network is no range of addresses such as 192.0.2.0/24 or 2001:db8::/32.")
	}
	return prefix.Masked(), nil
}

var errNoSuchSession = fault.New(fault.NotFound, "no-such-session", "There is no such session.")

// address shows an IP address, or nothing.
func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
