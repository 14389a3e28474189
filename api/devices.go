package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// device is one browser profile or app of one person.
type device struct {
	ID        identity.DeviceID `json:"id"`
	User      userRef           `json:"user"`
	Name      string            `json:"name,omitempty" doc:"What its owner calls it"`
	Kind      string            `json:"kind" doc:"desktop, phone, tablet, bot, cli (a command line) or unknown"`
	OS        string            `json:"os,omitempty"`
	Browser   string            `json:"browser,omitempty"`
	Blocked   bool              `json:"blocked" doc:"Whether sign-ins from it are refused"`
	FirstSeen time.Time         `json:"first_seen_at"`
	LastSeen  time.Time         `json:"last_seen_at"`
	LastIP    string            `json:"last_ip,omitempty"`
	Current   bool              `json:"current" doc:"Whether it is the device that asks"`
}

type listDevicesInput struct {
	Paging
	User identity.UserID `query:"user" maxLength:"64"`
}

type changeDeviceInput struct {
	ByID[identity.DeviceID]
	Body struct {
		Name    *string `json:"name,omitempty" maxLength:"100"`
		Blocked *bool   `json:"blocked,omitempty" doc:"true also signs the device out"`
	}
}

func (a *API) registerDevices() {
	register(a, operation{id: "list-devices", method: http.MethodGet, path: "/devices", tag: "Devices", needs: reads("devices"),
		summary: "List devices, last seen first"}, a.listDevices)
	register(a, operation{id: "change-device", method: http.MethodPatch, path: "/devices/{id}", tag: "Devices", needs: writes("devices"),
		summary: "Name or block a device"}, a.changeDevice)
	register(a, operation{id: "end-device", method: http.MethodDelete, path: "/devices/{id}", tag: "Devices", needs: deletes("sessions"),
		summary: "Sign a device out"}, a.endDevice)
}

func (a *API) listDevices(ctx context.Context, c *call, in *listDevicesInput) (*pageOutput[device], error) {
	return a.devicePage(ctx, c, sessions.DeviceFilter{User: in.User, Limit: in.Limit, Cursor: in.Cursor})
}

func (a *API) devicePage(ctx context.Context, c *call, filter sessions.DeviceFilter) (*pageOutput[device], error) {
	found, next, err := a.cfg.Sessions.Devices(ctx, c.tenant(), filter)
	if err != nil {
		return nil, err
	}
	refs := a.references(c.tenant())
	return pageOf(found, next, func(d sessions.Device) device { return deviceOf(ctx, c, refs, d) }), nil
}

func deviceOf(ctx context.Context, c *call, refs *references, d sessions.Device) device {
	return device{ID: d.ID, User: refs.user(ctx, d.User), Name: d.Name, Kind: d.Kind, OS: d.OS, Browser: d.Browser, Blocked: d.Blocked,
		FirstSeen: d.FirstSeen.UTC(), LastSeen: d.LastSeen.UTC(), LastIP: address(d.LastIP), Current: d.ID == c.principal.Device && d.ID != ""}
}

func (a *API) changeDevice(ctx context.Context, c *call, in *changeDeviceInput) (*bodyOutput[device], error) {
	changed, err := a.cfg.Sessions.UpdateDevice(ctx, c.cause, c.tenant(), in.ID, func(d *sessions.Device) error {
		if in.Body.Name != nil {
			d.Name = *in.Body.Name
		}
		if in.Body.Blocked != nil {
			d.Blocked = *in.Body.Blocked
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &bodyOutput[device]{deviceOf(ctx, c, a.references(c.tenant()), changed)}, nil
}

func (a *API) endDevice(ctx context.Context, c *call, in *ByID[identity.DeviceID]) (*bodyOutput[revocation], error) {
	if _, err := a.cfg.Sessions.Device(ctx, c.tenant(), in.ID); err != nil {
		return nil, err
	}
	return a.revoke(ctx, c, sessions.Selector{Device: in.ID}, endedByAdmin)
}
