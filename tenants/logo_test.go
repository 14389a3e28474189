package tenants_test

import (
	"bytes"
	"image"
	"image/png"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

func logo(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))))
	return b.Bytes()
}

// images counts the images that are kept of a tenant.
func (h *house) images(t *testing.T, tenant *tenants.Tenant) (n int) {
	t.Helper()
	must(t, h.db.Tenant(tenant.ID).Read(t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(t.Context(), tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) }, `SELECT COUNT(*) FROM logos`)
		return err
	}))
	return n
}

func TestALogoIsKeptWithItsTenant(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	acme := h.add(t, "acme", "acme.example.com")
	other := h.add(t, "other", "other.example.com")
	shows := func(want []byte) {
		t.Helper()
		kept, image, err := h.service.LogoImage(ctx, acme.ID)
		if !bytes.Equal(image, want) || (err == nil) != (want != nil) || err != nil && !fault.Is(err, fault.NotFound) {
			t.Fatalf("%d bytes, %v; want %d", len(image), err, len(want))
		}
		if now, _ := h.service.ByID(acme.ID); want != nil && (kept.Type != "image/png" || now.Logo.URL != "/.gatehouse/logo?v="+kept.Hash || len(kept.Hash) != 32) {
			t.Errorf("kept as %+v, known as %+v", kept, now.Logo)
		}
	}
	shows(nil)
	small, large := logo(t, 8), logo(t, 32)

	first, err := h.service.SetLogo(ctx, cause, acme.ID, acme.Version, small)
	must(t, err)
	if e, _ := h.journal.last(); e.Type != audit.TenantChanged || e.Details["changed"] != "logo" {
		t.Errorf("recorded as %+v", e)
	}
	shows(small)

	// The same once more is no change.
	_, events := h.journal.last()
	again, err := h.service.SetLogo(ctx, cause, acme.ID, 0, small)
	must(t, err)
	if _, now := h.journal.last(); again.Version != first.Version || now != events {
		t.Errorf("version %d after %d", again.Version, first.Version)
	}
	// What was seen must still be so, and what is no image changes nothing.
	if _, err := h.service.SetLogo(ctx, cause, acme.ID, acme.Version, large); !fault.Is(err, fault.Precondition) {
		t.Errorf("an earlier version is replaced: %v", err)
	}
	if _, err := h.service.SetLogo(ctx, cause, acme.ID, 0, []byte("<svg/>")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a document is a logo: %v", err)
	}
	// Without its record, nothing.
	h.journal.refuse(errJournal)
	if _, err := h.service.SetLogo(ctx, cause, acme.ID, 0, large); err == nil {
		t.Error("changed without a record")
	}
	h.journal.refuse(nil)
	shows(small)
	if n := h.images(t, acme); n != 1 {
		t.Errorf("%d images are kept", n)
	}

	// Other settings leave it, also across a restart.
	_, err = h.service.Update(ctx, cause, acme.ID, 0, func(t *tenants.Tenant) error { t.DisplayName = "Acme Ltd"; return nil })
	must(t, err)
	h.open(t)
	shows(small)
	if now, _ := h.service.ByID(other.ID); now.Logo != nil || h.images(t, other) != 0 {
		t.Errorf("another tenant has %+v", now.Logo)
	}
	if _, _, err := h.service.LogoImage(ctx, other.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant's logo: %v", err)
	}

	_, err = h.service.SetLogo(ctx, cause, acme.ID, 0, large)
	must(t, err)
	shows(large)
	if n := h.images(t, acme); n != 1 {
		t.Errorf("%d images are kept", n)
	}
	must(t, h.service.Refresh(ctx)) // as another node does
	shows(large)
	_, err = h.service.SetLogo(ctx, cause, acme.ID, 0, nil)
	must(t, err)
	shows(nil)
	if n := h.images(t, acme); n != 0 {
		t.Errorf("%d images are kept of none", n)
	}
}

// A tenant can be made with its logo.
func TestATenantIsMadeWithALogo(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	data := logo(t, 8)
	image, err := h.service.CheckImage(ctx, data)
	must(t, err)
	wanted := tenants.Tenant{Name: "acme"}
	wanted.SetLogo(image)
	acme, err := h.service.Create(ctx, cause, wanted)
	must(t, err)
	h.open(t)
	if kept, got, err := h.service.LogoImage(ctx, acme.ID); err != nil || !bytes.Equal(got, data) || kept != *acme.Logo {
		t.Errorf("%+v of %d bytes, %v", kept, len(got), err)
	}
	_, err = h.service.SetLogo(ctx, cause, acme.ID, acme.Version, nil)
	must(t, err)
	if n := h.images(t, acme); n != 0 {
		t.Errorf("%d images are kept of none", n)
	}
}

// Whoever reads the rows reads no image: it goes with the tenant's key. What stands in
// the clear from before is shown until another one takes its place.
func TestP10_ALogoIsSealed(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	acme := h.add(t, "acme")
	image := logo(t, 8)
	_, err := h.service.SetLogo(ctx, cause, acme.ID, 0, image)
	must(t, err)
	row := func() (kept []byte) {
		t.Helper()
		must(t, h.db.Tenant(acme.ID).Read(ctx, func(tx *store.Tx) (err error) {
			kept, err = store.One(ctx, tx, func(row store.Row) (b []byte, err error) { return b, row.Scan(&b) }, `SELECT image FROM logos`)
			return err
		}))
		return kept
	}
	if kept := row(); bytes.Contains(kept, []byte("IHDR")) || bytes.Contains(kept, image[len(image)-20:]) {
		t.Errorf("%d bytes are kept in the clear", len(kept))
	}
	must(t, h.db.Tenant(acme.ID).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE logos SET image = $1, sealed = FALSE`, image)
		return err
	}))
	if _, got, err := h.service.LogoImage(ctx, acme.ID); err != nil || !bytes.Equal(got, image) {
		t.Errorf("from before: %d bytes, %v", len(got), err)
	}
	next := logo(t, 16)
	_, err = h.service.SetLogo(ctx, cause, acme.ID, 0, next)
	must(t, err)
	if kept := row(); bytes.Contains(kept, []byte("IHDR")) {
		t.Error("the next one is kept in the clear")
	}
	must(t, h.db.Tenant(acme.ID).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE logos SET image = $1`, next)
		return err
	}))
	if _, got, err := h.service.LogoImage(ctx, acme.ID); err == nil {
		t.Errorf("what was not sealed here is shown: %d bytes", len(got))
	}
}
