package api

import (
	"context"

	"gatehouse/internal/fault"
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
