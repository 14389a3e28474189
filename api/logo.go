package api

import (
	"context"
	"encoding/base64"

	"gatehouse/api/resources"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

var errNoImage = fault.New(fault.Invalid, "bad-logo", "The request holds no image. To take the logo away, DELETE it.")

func (a *API) putLogo(ctx context.Context, c *call, in *struct {
	Condition
	RawBody []byte `contentType:"application/octet-stream"`
}) (*versioned[tenantSettings], error) {
	if len(in.RawBody) == 0 {
		return nil, errNoImage
	}
	return a.setLogo(ctx, c, in.Condition, in.RawBody)
}

func (a *API) deleteLogo(ctx context.Context, c *call, in *struct{ Condition }) (*versioned[tenantSettings], error) {
	return a.setLogo(ctx, c, in.Condition, nil)
}

func (a *API) setLogo(ctx context.Context, c *call, condition Condition, image []byte) (*versioned[tenantSettings], error) {
	version, err := condition.version()
	if err != nil {
		return nil, err
	}
	changed, err := a.cfg.Tenants.SetLogo(ctx, c.cause, c.tenant(), version, image)
	if err != nil {
		return nil, err
	}
	return withVersion(changed.Version, settingsOf(changed)), nil
}

// image reads the logo of a document.
func (a *API) image(ctx context.Context, said resources.Image) (tenants.Image, error) {
	data, err := said.Data()
	if err != nil {
		return tenants.Image{}, err
	}
	return a.cfg.Tenants.CheckImage(ctx, data)
}

// logoOf shows a tenant's logo for a document; nil if there is none.
func (a *API) logoOf(ctx context.Context, t *tenants.Tenant) (*resources.Image, error) {
	_, data, err := a.cfg.Tenants.LogoImage(ctx, t.ID)
	if fault.Is(err, fault.NotFound) {
		return nil, nil //nolint:nilnil // which a document says nothing of
	}
	if err != nil {
		return nil, err
	}
	return &resources.Image{Base64: base64.StdEncoding.EncodeToString(data)}, nil
}
