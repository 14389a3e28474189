package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"gatehouse/api/resources"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

type applyInput struct {
	Body struct {
		Documents []resources.Document `json:"documents" minItems:"1" maxItems:"1000"`
		DryRun    bool                 `json:"dry_run,omitempty" doc:"Tell what would be done, and do nothing"`
	}
}

// action is what was done about one document.
type action string

const (
	created   action = "created"
	changed   action = "changed"
	unchanged action = "unchanged"
	failed    action = "failed"
)

type applied struct {
	Kind   resources.Kind `json:"kind"`
	Tenant string         `json:"tenant,omitempty"`
	Name   string         `json:"name"`
	Action action         `json:"action" enum:"created,changed,unchanged,failed"`
	Detail string         `json:"detail,omitempty" doc:"Why it failed"`
	Event  string         `json:"event_id,omitempty" doc:"The record of a refusal"`
}

type applyResult struct {
	Results []applied `json:"results" doc:"One for each document that was reached, in the order of application: the first that fails ends it"`
	Failed  bool      `json:"failed"`
	DryRun  bool      `json:"dry_run"`
}

func (a *API) registerApply() {
	register(a, operation{id: "apply-resources", method: http.MethodPost, path: "/platform/apply", tag: "Platform", platform: true, needs: writes("tenants"),
		status: http.StatusOK, summary: "Make resources be as documents say; applying twice changes nothing. In other tenants than the platform the permission covers every role and assignment"}, a.apply)
	register(a, operation{id: "export-resources", method: http.MethodGet, path: "/platform/export", tag: "Platform", platform: true, needs: reads("tenants"),
		summary: "Give the resources of one or all tenants as documents, without secrets"}, a.export)
}

// apply works through the documents in the order of their kinds, since later
// kinds refer to earlier ones. Each document is a change of its own: what was
// applied before one that fails stays, and the same call can be repeated.
func (a *API) apply(ctx context.Context, c *call, in *applyInput) (*bodyOutput[applyResult], error) {
	documents := slices.Clone(in.Body.Documents)
	slices.SortStableFunc(documents, func(x, y resources.Document) int { return x.Kind.Order() - y.Kind.Order() })
	run := &application{api: a, call: c, dry: in.Body.DryRun, planned: map[string]bool{}}
	out := applyResult{Results: []applied{}, DryRun: in.Body.DryRun}
	for _, d := range documents {
		result := applied{Kind: d.Kind, Tenant: d.Tenant, Name: d.Name}
		done, err := run.document(ctx, d)
		if err != nil {
			err = a.recordRefusal(ctx, c, err)
			f, ok := errors.AsType[*fault.Fault](err)
			if !ok || f.Kind == fault.Unavailable || f.Kind == fault.Internal {
				return nil, err
			}
			result.Action, result.Detail, result.Event, out.Failed = failed, f.Detail, f.Event, true
			out.Results = append(out.Results, result)
			break
		}
		result.Action = done
		out.Results = append(out.Results, result)
	}
	return &bodyOutput[applyResult]{out}, nil
}

// application is one apply under way.
type application struct {
	api  *API
	call *call
	dry  bool
	// planned holds what a dry run would have made by now: tenants by name,
	// teams as tenant/team.
	planned map[string]bool
}

// own reports whether a tenant is the platform itself, where nobody may hand
// out more than they have. In other tenants the permission to write tenants is
// enough: it makes and deletes them, owners and all.
func (r *application) own(tenant identity.TenantID) bool { return tenant == r.call.tenant() }

func (r *application) document(ctx context.Context, d resources.Document) (action, error) {
	if d.Kind == resources.KindTenant {
		return r.tenant(ctx, d)
	}
	if r.planned[d.Tenant] {
		r.planned[d.Tenant+"/"+d.Name] = true
		return created, nil
	}
	t, ok := r.api.cfg.Tenants.ByName(d.Tenant)
	if !ok {
		return "", fault.New(fault.NotFound, "no-such-tenant", "There is no tenant "+d.Tenant+".")
	}
	switch d.Kind {
	case resources.KindConnection:
		return r.connection(ctx, t.ID, d)
	case resources.KindTeam:
		return r.team(ctx, t.ID, d)
	case resources.KindRole:
		return r.role(ctx, t.ID, d)
	case resources.KindAssignment:
		return r.assignment(ctx, t.ID, d)
	case resources.KindService:
		return r.service(ctx, t.ID, d)
	case resources.KindWebhook:
		return r.webhook(ctx, t.ID, d)
	case resources.KindGoogleSync:
		return r.google(ctx, t.ID, d)
	}
	return "", fault.New(fault.Invalid, "unknown-kind", "The kind "+string(d.Kind)+" is not known.")
}

func (r *application) tenant(ctx context.Context, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.TenantSpec](d)
	if err != nil {
		return "", err
	}
	var logo tenants.Image
	if spec.Logo != nil {
		if logo, err = r.api.image(ctx, *spec.Logo); err != nil {
			return "", err
		}
	}
	current, ok := r.api.cfg.Tenants.ByName(d.Name)
	if !ok {
		r.planned[d.Name] = r.dry
		if r.dry {
			return created, nil
		}
		t := tenants.Tenant{Name: d.Name, DisplayName: spec.DisplayName, Hosts: spec.Hosts, Status: tenants.Active, Settings: spec.Settings}
		t.SetLogo(logo)
		_, err := r.api.cfg.Tenants.Create(ctx, r.call.cause, t)
		return created, err
	}
	set := func(t *tenants.Tenant) error {
		t.Hosts, t.Settings = spec.Hosts, spec.Settings
		if spec.Logo != nil {
			t.SetLogo(logo)
		}
		if spec.DisplayName != "" {
			t.DisplayName = spec.DisplayName
		}
		return nil
	}
	wanted := *current
	if err := set(&wanted); err != nil {
		return "", err
	}
	if slices.Equal(wanted.Hosts, current.Hosts) && wanted.Settings.Equal(current.Settings) && wanted.DisplayName == current.DisplayName &&
		wanted.Logo.Same(current.Logo) {
		return unchanged, nil
	}
	if r.dry {
		return changed, nil
	}
	_, err = r.api.cfg.Tenants.Update(ctx, r.call.cause, current.ID, 0, set)
	return changed, err
}

func (r *application) connection(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.ConnectionSpec](d)
	if err != nil {
		return "", err
	}
	current, err := r.api.cfg.Connections.Connection(ctx, tenant, d.Name)
	missing := fault.Is(err, fault.NotFound)
	if err != nil && !missing {
		return "", err
	}
	wanted, err := spec.Connection(d.Name, current)
	if err != nil {
		return "", err
	}
	if !missing && wanted.Same(current) {
		if !current.Enabled && !r.dry { // as it was switched off, that may have failed
			err = r.api.cfg.People.DropRules(ctx, r.call.cause, tenant, current.ID, nil)
		}
		return unchanged, err
	}
	if r.own(tenant) {
		if err := r.api.mayTrust(ctx, r.call, wanted, current); err != nil {
			return "", err
		}
	}
	if !r.dry {
		if _, err := r.api.keepConnection(ctx, r.call, tenant, wanted, current); err != nil {
			return "", err
		}
	}
	if missing {
		return created, nil
	}
	return changed, nil
}
