package gateway

import (
	"context"
	"net/url"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn/setup"
	"gatehouse/identity"
)

// setupLinks speaks the admin API's form of links over authn/setup, which stands on
// the same floor.
type setupLinks struct{ service *setup.Service }

func (s setupLinks) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, want api.SetupLink, life time.Duration) (api.SetupLink, string, error) {
	made, token, err := s.service.Create(ctx, cause, tenant, want.Connection,
		setup.Terms{DisplayName: want.DisplayName, DefaultRole: want.DefaultRole, Link: want.Link, Unknown: want.UnknownPeople}, life)
	if err != nil {
		return api.SetupLink{}, "", err
	}
	return linkView(made), setup.Path + "?" + url.Values{"token": {token}}.Encode(), nil
}

func (s setupLinks) List(ctx context.Context, tenant identity.TenantID) ([]api.SetupLink, error) {
	all, err := s.service.List(ctx, tenant)
	views := make([]api.SetupLink, len(all))
	for i, l := range all {
		views[i] = linkView(l)
	}
	return views, err
}

func (s setupLinks) Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id string) error {
	return s.service.Delete(ctx, cause, tenant, id)
}

func linkView(l setup.Link) api.SetupLink {
	return api.SetupLink{ID: l.ID, Connection: l.Connection, DisplayName: l.Terms.DisplayName, DefaultRole: l.Terms.DefaultRole, Link: l.Terms.Link,
		UnknownPeople: l.Terms.Unknown, CreatedBy: l.CreatedBy, CreatedAt: l.CreatedAt.UTC(), BegunAt: present(l.BegunAt), ExpiresAt: l.ExpiresAt.UTC()}
}
