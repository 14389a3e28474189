package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

// me is the caller as the API sees it.
type me struct {
	Kind        identity.Kind      `json:"kind"`
	ID          string             `json:"id"`
	Email       string             `json:"email,omitempty"`
	Name        string             `json:"name,omitempty"`
	Session     identity.SessionID `json:"session,omitempty"`
	Device      identity.DeviceID  `json:"device,omitempty"`
	SignedInAt  *time.Time         `json:"signed_in_at,omitempty"`
	Roles       []string           `json:"roles" doc:"Account-wide roles"`
	Teams       []teamRoles        `json:"teams" doc:"Roles in single teams"`
	Groups      []string           `json:"groups"`
	Permissions []string           `json:"permissions" doc:"The permissions of this API that the caller has"`
	NewDevices  []newDevice        `json:"new_devices" doc:"Devices that signed in as the caller within a week, after the caller's own, and since the caller has last looked at their devices in this browser"`
	Tenant      meTenant           `json:"tenant"`
}

// newDevice is a device that its person may not know of yet.
type newDevice struct {
	ID        identity.DeviceID `json:"id"`
	Name      string            `json:"name"`
	FirstSeen time.Time         `json:"first_seen_at"`
}

type teamRoles struct {
	Team  string   `json:"team"`
	Roles []string `json:"roles"`
}

type meTenant struct {
	ID          identity.TenantID `json:"id"`
	Name        string            `json:"name"`
	DisplayName string            `json:"display_name"`
	Platform    bool              `json:"platform" doc:"Whether this is the operators' own tenant"`
}

func (a *API) registerMe() {
	register(a, operation{id: "get-me", method: http.MethodGet, path: "/me", tag: "Me", anybody: true,
		summary: "Show who is calling and what they may do"}, a.getMe)
	register(a, operation{id: "list-my-sessions", method: http.MethodGet, path: "/me/sessions", tag: "Me", anybody: true,
		summary: "List one's own live sessions"}, a.listMySessions)
	register(a, operation{id: "end-my-session", method: http.MethodDelete, path: "/me/sessions/{id}", tag: "Me", anybody: true,
		summary: "Sign one of one's own sessions out"}, a.endMySession)
	register(a, operation{id: "end-my-other-sessions", method: http.MethodPost, path: "/me/sessions/revoke-others", tag: "Me", anybody: true,
		status: http.StatusOK, summary: "Sign all of one's own sessions out but this one"}, a.endMyOtherSessions)
	register(a, operation{id: "list-my-devices", method: http.MethodGet, path: "/me/devices", tag: "Me", anybody: true,
		summary: "List one's own devices"}, a.listMyDevices)
	register(a, operation{id: "change-my-device", method: http.MethodPatch, path: "/me/devices/{id}", tag: "Me", anybody: true,
		summary: "Name one of one's own devices"}, a.changeMyDevice)
	register(a, operation{id: "end-my-device", method: http.MethodDelete, path: "/me/devices/{id}", tag: "Me", anybody: true,
		summary: "Sign one of one's own devices out"}, a.endMyDevice)
}

func (a *API) getMe(ctx context.Context, c *call, _ *struct{}) (*bodyOutput[me], error) {
	p := c.principal
	m := me{Kind: p.Kind, ID: p.ID, Email: p.Email, Name: p.Name, Session: p.Session, Device: p.Device,
		SignedInAt: timestamp(p.AuthTime), Roles: []string{}, Teams: []teamRoles{}, Groups: []string{}, NewDevices: []newDevice{},
		Tenant: meTenant{ID: c.tenant(), Name: c.request.TenantName, Platform: c.tenant() == identity.Platform}}
	if tenant, ok := a.cfg.Tenants.ByID(c.tenant()); ok {
		m.Tenant.DisplayName = tenant.DisplayName
	}
	if p.Role != "" { // a token has the one that it was made with
		m.Roles = append(m.Roles, p.Role)
	}
	if p.Kind == identity.KindUser {
		profile, err := a.cfg.Policy.Profile(ctx, p)
		if err != nil {
			return nil, err
		}
		m.Email, m.Name = profile.Person.Email, profile.Person.Name
		m.Roles = append(m.Roles, profile.Roles...)
		for _, team := range profile.Teams {
			m.Teams = append(m.Teams, teamRoles{Team: team.Team, Roles: team.Roles})
		}
		for _, group := range profile.Person.Groups {
			m.Groups = append(m.Groups, group.Name)
		}
		devices, err := a.cfg.Sessions.NewDevices(ctx, p, httpkit.LookedAt(c.http, p.User, time.Now()))
		if err != nil {
			return nil, err
		}
		for _, d := range devices {
			m.NewDevices = append(m.NewDevices, newDevice{ID: d.ID, Name: d.Name, FirstSeen: d.FirstSeen.UTC()})
		}
	}
	var err error
	m.Permissions, err = a.held(ctx, c)
	return &bodyOutput[me]{m}, err
}

// held lists which permissions of this API the caller has, so that a console
// offers only what will work.
func (a *API) held(ctx context.Context, c *call) ([]string, error) {
	asked := map[authz.Permission]bool{}
	held := []string{}
	for _, op := range a.operations {
		if op.anybody || asked[op.needs] || op.platform && c.tenant() != identity.Platform {
			continue
		}
		asked[op.needs] = true
		permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, op.query(c.tenant()))
		if err != nil {
			return nil, err
		}
		if permit.Valid(c.tenant()) {
			held = append(held, op.permission())
		}
	}
	slices.Sort(held)
	return held, nil
}

func (a *API) listMySessions(ctx context.Context, c *call, in *Paging) (*pageOutput[session], error) {
	p, err := c.person()
	if err != nil {
		return nil, err
	}
	return a.sessionPage(ctx, c, sessions.Filter{User: p.User, State: "live", Limit: in.Limit, Cursor: in.Cursor})
}

func (a *API) endMySession(ctx context.Context, c *call, in *ByID[identity.SessionID]) (*bodyOutput[revocation], error) {
	p, err := c.person()
	if err != nil {
		return nil, err
	}
	found, err := a.cfg.Sessions.Get(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if found.User != p.User {
		return nil, fault.Wrap(errNotYours, fault.NotFound, errNoSuchSession.Code, errNoSuchSession.Detail)
	}
	return a.revoke(ctx, c, sessions.Selector{Session: found.ID}, sessions.ReasonSignedOut)
}

func (a *API) endMyOtherSessions(ctx context.Context, c *call, _ *struct{}) (*bodyOutput[revocation], error) {
	p, err := c.person()
	if err != nil {
		return nil, err
	}
	return a.revoke(ctx, c, sessions.Selector{User: p.User, Except: p.Session}, sessions.ReasonSignedOut)
}

// myDevices also tells the browser that they were looked at.
type myDevices struct {
	Looked http.Cookie `header:"Set-Cookie"`
	Body   page[device]
}

func (a *API) listMyDevices(ctx context.Context, c *call, in *Paging) (*myDevices, error) {
	p, err := c.person()
	if err != nil {
		return nil, err
	}
	found, err := a.devicePage(ctx, c, sessions.DeviceFilter{User: p.User, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	return &myDevices{*httpkit.Looked(p.User, time.Now()), found.Body}, nil
}

type myDeviceInput struct {
	ByID[identity.DeviceID]
	Body struct {
		Name string `json:"name" maxLength:"100"`
	}
}

func (a *API) changeMyDevice(ctx context.Context, c *call, in *myDeviceInput) (*bodyOutput[device], error) {
	if _, err := a.myDevice(ctx, c, in.ID); err != nil {
		return nil, err
	}
	changed, err := a.cfg.Sessions.UpdateDevice(ctx, c.cause, c.tenant(), in.ID, func(d *sessions.Device) error {
		d.Name = in.Body.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &bodyOutput[device]{deviceOf(ctx, c, a.references(c.tenant()), changed)}, nil
}

func (a *API) endMyDevice(ctx context.Context, c *call, in *ByID[identity.DeviceID]) (*bodyOutput[revocation], error) {
	found, err := a.myDevice(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return a.revoke(ctx, c, sessions.Selector{Device: found.ID}, sessions.ReasonSignedOut)
}

// myDevice is a device of the caller's own; another person's does not exist.
func (a *API) myDevice(ctx context.Context, c *call, id identity.DeviceID) (sessions.Device, error) {
	p, err := c.person()
	if err != nil {
		return sessions.Device{}, err
	}
	found, err := a.cfg.Sessions.Device(ctx, c.tenant(), id)
	if err != nil {
		return sessions.Device{}, err
	}
	if found.User != p.User {
		return sessions.Device{}, fault.Wrap(errNotYours, fault.NotFound, "no-such-device", "There is no such device.")
	}
	return found, nil
}
