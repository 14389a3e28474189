package tenants

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Logo is what is known of a tenant's logo; the image itself stands with the tenant's
// own data, sealed under its key, so that it is gone from backups with that (P10).
type Logo struct {
	Hash string `json:"hash"` // of the image
	Type string `json:"type"` // its media type
	// URL is where it is, on the tenant's own hosts. It changes with the image.
	URL string `json:"-"`
}

// LogoPath is where a tenant's logo is served.
const LogoPath = "/.gatehouse/logo"

// sealLogo is under which images are sealed.
const sealLogo = "logo"

// with gives l with what follows from the rest; nil stays nil.
func (l *Logo) with() *Logo {
	if l == nil {
		return nil
	}
	l.URL = LogoPath + "?v=" + l.Hash
	return l
}

// Same reports whether both are of the same image.
func (l *Logo) Same(o *Logo) bool {
	return l == o || l != nil && o != nil && l.Hash == o.Hash && l.Type == o.Type
}

var errNoLogo = fault.New(fault.NotFound, "no-logo", "This organisation has no logo.")

// Image is an image that may be a logo.
type Image struct {
	logo *Logo
	data []byte
}

// CheckImage looks whether an image may be a logo.
func (s *Service) CheckImage(ctx context.Context, data []byte) (Image, error) {
	mediaType, err := s.images.check(ctx, data)
	if err != nil {
		return Image{}, err
	}
	sum := sha256.Sum256(data)
	return Image{logo: (&Logo{Hash: hex.EncodeToString(sum[:16]), Type: mediaType}).with(), data: data}, nil
}

// SetLogo gives a tenant that is made or changed a logo; the zero image takes it away.
func (t *Tenant) SetLogo(image Image) { t.Logo, t.image = image.logo, image.data }

// SetLogo keeps an image as the tenant's logo, by the rules of [Service.Update]; an
// empty one takes the logo away.
func (s *Service) SetLogo(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64, data []byte) (*Tenant, error) {
	var image Image
	if len(data) > 0 {
		var err error
		if image, err = s.CheckImage(ctx, data); err != nil {
			return nil, err
		}
	}
	return s.Update(ctx, cause, id, ifVersion, func(t *Tenant) error {
		t.SetLogo(image)
		return nil
	})
}

// LogoImage gives the image of the tenant's logo.
func (s *Service) LogoImage(ctx context.Context, id identity.TenantID) (Logo, []byte, error) {
	t, ok := s.ByID(id)
	if !ok || t.Logo == nil || t.Status == Deleting {
		return Logo{}, nil, errNoLogo
	}
	var image []byte
	var sealed bool
	err := s.store.Tenant(id).Read(ctx, func(tx *store.Tx) (err error) {
		image, err = store.One(ctx, tx, func(row store.Row) (b []byte, err error) { return b, row.Scan(&b, &sealed) },
			`SELECT image, sealed FROM logos WHERE hash = $1 AND media_type = $2`, t.Logo.Hash, t.Logo.Type)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return Logo{}, nil, errNoLogo // changed meanwhile
	}
	if err == nil && sealed {
		image, err = s.keys.Open(ctx, id, sealLogo, image)
	}
	if err != nil {
		return Logo{}, nil, fmt.Errorf("read the logo of %s: %w", t.Name, err)
	}
	return *t.Logo, image, nil
}

// keepImage writes the sealed image that a tenant's row is about to name.
func keepImage(ctx context.Context, tx *store.Tx, t *Tenant) error {
	if _, err := tx.Exec(ctx, `DELETE FROM logos WHERE hash = $1`, t.Logo.Hash); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO logos (hash, media_type, image, sealed, version) VALUES ($1, $2, $3, TRUE, $4)`, t.Logo.Hash, t.Logo.Type, t.image, t.Version)
	return err
}

// dropImages removes the images that t's row names no more. Another node's, of a later
// version, is to be named soon.
func dropImages(ctx context.Context, tx *store.Tx, t *Tenant) error {
	kept := ""
	if t.Logo != nil {
		kept = t.Logo.Hash
	}
	_, err := tx.Exec(ctx, `DELETE FROM logos WHERE hash <> $1 AND version <= $2`, kept, t.Version)
	return err
}
