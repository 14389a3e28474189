package sessions

import (
	"context"
	"errors"

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
// sets are ignored. Blocking ends the device's sessions before it returns, and
// does so again when it is blocked already, so that a retry after a crash
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
	after := before
	after.Name, after.Blocked = wanted.Name, wanted.Blocked
	if !validDeviceName(after.Name) {
		return Device{}, fault.New(fault.Invalid, "device-name-invalid", "A device's name has 1 to 100 printable characters.")
	}
	if after != before {
		if err := s.writeDevice(ctx, cause, tenant, before, after); err != nil {
			return Device{}, err
		}
	}
	if after.Blocked && (!before.Blocked || after == before) {
		if _, err := s.Revoke(ctx, cause, tenant, Selector{Device: id}, ReasonDeviceBlocked); err != nil {
			return Device{}, err
		}
	}
	return after, nil
}

func (s *Service) writeDevice(ctx context.Context, cause audit.Cause, tenant identity.TenantID, before, after Device) error {
	event := cause.Event(tenant, audit.DeviceChanged, audit.Success)
	event.Target, event.Device = audit.Target{Kind: "device", ID: string(after.ID), Name: after.Name}, after.ID
	switch {
	case after.Blocked && !before.Blocked:
		event.Reason = "blocked"
	case !after.Blocked && before.Blocked:
		event.Reason = "unblocked"
	default:
		event.Reason = "renamed"
	}
	if _, err := s.journal.Commit(ctx, event); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	var changed int64
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		changed, err = tx.Exec(ctx, `UPDATE devices SET name = $1, blocked = $2 WHERE id = $3`, after.Name, after.Blocked, after.ID)
		return err
	})
	switch {
	case err != nil:
		return unavailable(err)
	case changed == 0:
		return errNoDevice
	}
	return nil
}
