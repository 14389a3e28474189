package sessions

import (
	"context"
	"errors"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

var errNoDevice = fault.New(fault.NotFound, "device-not-found", "There is no such device.")

// DeviceFilter narrows [Service.Devices].
type DeviceFilter struct {
	User   identity.UserID
	Limit  int    // at most [MaxPage]; 0: 50
	Cursor string // from the page before
}

// Devices lists devices, the latest first; next is empty on the last page.
func (s *Service) Devices(ctx context.Context, tenant identity.TenantID, f DeviceFilter) (items []Device, next string, err error) {
	w, err := newWindow(f.Limit, f.Cursor)
	if err != nil {
		return nil, "", err
	}
	w.where("user_id = ", string(f.User))
	query := `SELECT ` + deviceColumns + ` FROM devices` + w.clause("first_seen", "id")
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		items, err = store.All(ctx, tx, scanDevice, query, w.args...)
		return err
	})
	if err != nil {
		return nil, "", unavailable(err)
	}
	items, next = page(items, w.limit, func(d Device) mark { return mark{at: store.Millis(d.FirstSeen), id: string(d.ID)} })
	return items, next, nil
}

// newsFor is how long a device is news, and maxNews how many are told of at once.
const (
	newsFor = 7 * 24 * time.Hour
	maxNews = 5
)

// NewDevices gives the devices on which a person has signed in for the first time
// within a week and after since, the latest first. Who asks from a device is told
// of those that came after it, so a stranger's own is not told of those before.
func (s *Service) NewDevices(ctx context.Context, p *identity.Principal, since time.Time) (items []Device, err error) {
	if week := time.Now().Add(-newsFor); since.Before(week) {
		since = week
	}
	err = s.store.Tenant(p.Tenant).Read(ctx, func(tx *store.Tx) (err error) {
		items, err = store.All(ctx, tx, scanDevice, `SELECT `+deviceColumns+` FROM devices WHERE user_id = $1 AND first_seen > $2
			AND first_seen > (SELECT first_seen FROM devices WHERE id = $3) ORDER BY first_seen DESC, id DESC LIMIT $4`,
			p.User, store.Millis(since), p.Device, maxNews)
		return err
	})
	return items, unavailable(err)
}

// Device gives one device.
func (s *Service) Device(ctx context.Context, tenant identity.TenantID, id identity.DeviceID) (Device, error) {
	var d Device
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		d, err = readDevice(ctx, tx, id)
		return err
	})
	if err != nil {
		return Device{}, unavailable(err)
	}
	return d, nil
}

func readDevice(ctx context.Context, tx *store.Tx, id identity.DeviceID) (Device, error) {
	d, err := store.One(ctx, tx, scanDevice, `SELECT `+deviceColumns+` FROM devices WHERE id = $1`, id)
	if errors.Is(err, store.ErrNoRows) {
		return Device{}, errNoDevice
	}
	return d, err
}

// UpdateDevice changes a device's name or blocks it; other fields that change
// sets are ignored. It writes only what change has changed, so that whoever
// names a device does not undo that it is blocked meanwhile, and gives the
// device as it is then. Blocking ends the device's sessions before it returns,
// and does so again when it is blocked already, so that a retry after a crash
// converges.
func (s *Service) UpdateDevice(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.DeviceID, change func(*Device) error) (Device, error) {
	before, err := s.Device(ctx, tenant, id)
	if err != nil {
		return Device{}, err
	}
	wanted := before
	if err := change(&wanted); err != nil {
		return Device{}, err
	}
	wanted.ID = id
	if !validDeviceName(wanted.Name) {
		return Device{}, fault.New(fault.Invalid, "device-name-invalid", "A device's name has 1 to 100 printable characters.")
	}
	after, named, switched := before, wanted.Name != before.Name, wanted.Blocked != before.Blocked
	if named || switched {
		if after, err = s.writeDevice(ctx, cause, tenant, wanted, named, switched); err != nil {
			return Device{}, err
		}
	}
	if wanted.Blocked && (switched || !named) {
		if _, err := s.Revoke(ctx, cause, tenant, Selector{Device: id}, ReasonDeviceBlocked); err != nil {
			return Device{}, err
		}
	}
	return after, nil
}

// writeDevice writes the name if it is named anew, and whether it is blocked if
// that was switched, in one statement.
func (s *Service) writeDevice(ctx context.Context, cause audit.Cause, tenant identity.TenantID, wanted Device, named, switched bool) (after Device, err error) {
	event := cause.Event(tenant, audit.DeviceChanged, audit.Success)
	event.Target, event.Device = audit.Target{Kind: "device", ID: string(wanted.ID), Name: wanted.Name}, wanted.ID
	switch {
	case !switched:
		event.Reason = "renamed"
	case wanted.Blocked:
		event.Reason = "blocked"
	default:
		event.Reason = "unblocked"
	}
	if _, err := s.journal.Commit(ctx, event); err != nil {
		return Device{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		after, err = store.One(ctx, tx, scanDevice, `UPDATE devices SET name = CASE WHEN $1 THEN $2 ELSE name END,
			blocked = CASE WHEN $3 THEN $4 ELSE blocked END WHERE id = $5 RETURNING `+deviceColumns,
			named, wanted.Name, switched, wanted.Blocked, wanted.ID)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return Device{}, errNoDevice
	}
	return after, unavailable(err)
}
