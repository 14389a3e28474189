package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"gatehouse/api/resources"
	"gatehouse/audit"
	"gatehouse/directory/google"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Google fetches people and groups from a Google Workspace account. A key is the JSON
// file of a service account's; empty stands for the one that is kept.
type Google interface {
	Status(ctx context.Context, tenant identity.TenantID) (google.Status, error)
	Put(ctx context.Context, cause audit.Cause, tenant identity.TenantID, set google.Settings, key []byte, ifVersion uint64) (google.Status, error)
	Remove(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64) error
	Ask(ctx context.Context, tenant identity.TenantID) (google.Status, error)
	Try(ctx context.Context, tenant identity.TenantID, set google.Settings, key []byte) (google.SyncPreview, error)
}

// googleSync is how an account is read, and what came of it, without the key.
type googleSync struct {
	google.Settings

	ServiceAccount google.ServiceAccount `json:"service_account"`
	Running        bool                  `json:"running" doc:"Whether it is read at this moment"`
	Due            *time.Time            `json:"due_at,omitempty" doc:"When it is read next; absent while it is paused"`
	Last           *google.SyncOutcome   `json:"last,omitempty" doc:"What came of the last reading"`
	Skipped        []google.SyncSkip     `json:"skipped" doc:"Who was not brought, and why: the first 100. People are left out for whoever may not read people"`
}

// What it takes to say whom a directory is made of: whoever fills groups can put anybody
// into any. To have it read now, or not any more, gives nobody anything.
func (a *API) registerGoogle() {
	register(a, operation{id: "get-google-sync", method: http.MethodGet, path: "/directory/google", tag: "Google Workspace", needs: reads("settings"),
		summary: "Show how people and groups are fetched from Google Workspace, and what came of it last"}, a.getGoogle)
	register(a, operation{id: "put-google-sync", method: http.MethodPut, path: "/directory/google", tag: "Google Workspace", needs: writes("settings"),
		summary: "Fetch people and groups from a Google Workspace account, beginning at once, or change how; takes the right to make owners"}, a.putGoogle)
	register(a, operation{id: "delete-google-sync", method: http.MethodDelete, path: "/directory/google", tag: "Google Workspace", needs: deletes("settings"),
		summary: "Fetch nobody any more, and forget the key; people and groups stay as they are"}, a.deleteGoogle)
	register(a, operation{id: "run-google-sync", method: http.MethodPost, path: "/directory/google/run", tag: "Google Workspace", needs: writes("settings"),
		status: http.StatusAccepted, summary: "Have the account be read now"}, a.runGoogle)
	register(a, operation{id: "test-google-sync", method: http.MethodPost, path: "/directory/google/test", tag: "Google Workspace", needs: writes("settings"),
		status: http.StatusOK, summary: "Read the first people and groups by these settings, and do nothing with them; takes the right to make owners"}, a.testGoogle)
}

// shownGoogle shows people only to whoever may read people. How many were skipped, the
// counts say to all.
func (a *API) shownGoogle(ctx context.Context, c *call, s google.Status, err error) (*versioned[googleSync], error) {
	if err != nil {
		return nil, err
	}
	seesPeople, err := a.may(ctx, c, reads("users"))
	if err != nil {
		return nil, err
	}
	if s.Skipped = slices.DeleteFunc(s.Skipped, func(skip google.SyncSkip) bool { return skip.Kind == google.SkippedPerson && !seesPeople }); s.Skipped == nil {
		s.Skipped = []google.SyncSkip{}
	}
	return withVersion(s.Version, googleSync{Settings: s.Settings, ServiceAccount: s.ServiceAccount, Running: s.Running, Due: timestamp(s.Due), Last: s.Last, Skipped: s.Skipped}), nil
}

func (a *API) getGoogle(ctx context.Context, c *call, _ *struct{}) (*versioned[googleSync], error) {
	s, err := a.cfg.Google.Status(ctx, c.tenant())
	return a.shownGoogle(ctx, c, s, err)
}

const mayFill = "Who fetches people can put anybody into any group."

// mayFetch refuses what a caller may not set, and before that what lacks a key.
func (a *API) mayFetch(ctx context.Context, c *call, in resources.GoogleSyncSpec) error {
	_, err := a.cfg.Google.Status(ctx, c.tenant())
	if err != nil && (in.Key == "" || !fault.Is(err, fault.NotFound)) {
		return err
	}
	return a.mayMakeOwners(ctx, c, mayFill)
}

func (a *API) putGoogle(ctx context.Context, c *call, in *struct {
	Condition
	Body resources.GoogleSyncSpec
}) (*versioned[googleSync], error) {
	if err := a.mayFetch(ctx, c, in.Body); err != nil {
		return nil, err
	}
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	s, err := a.cfg.Google.Put(ctx, c.cause, c.tenant(), in.Body.Settings, []byte(in.Body.Key), version)
	return a.shownGoogle(ctx, c, s, err)
}

func (a *API) deleteGoogle(ctx context.Context, c *call, in *struct{ Condition }) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Google.Remove(ctx, c.cause, c.tenant(), version)
}

func (a *API) runGoogle(ctx context.Context, c *call, _ *struct{}) (*versioned[googleSync], error) {
	s, err := a.cfg.Google.Ask(ctx, c.tenant())
	return a.shownGoogle(ctx, c, s, err)
}

func (a *API) testGoogle(ctx context.Context, c *call, in *struct{ Body resources.GoogleSyncSpec }) (*bodyOutput[google.SyncPreview], error) {
	if err := a.mayFetch(ctx, c, in.Body); err != nil {
		return nil, err
	}
	found, err := a.cfg.Google.Try(ctx, c.tenant(), in.Body.Settings, []byte(in.Body.Key))
	if err != nil {
		return nil, err
	}
	return &bodyOutput[google.SyncPreview]{found}, nil
}

func (r *application) google(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.GoogleSyncSpec](d)
	if err != nil {
		return "", err
	}
	if d.Name != resources.GoogleSyncName {
		return "", fault.New(fault.Invalid, "bad-directory-sync", "A tenant has one GoogleSync, whose name is "+resources.GoogleSyncName+".").At("name")
	}
	current, err := r.api.cfg.Google.Status(ctx, tenant)
	missing := fault.Is(err, fault.NotFound)
	if err != nil && !missing {
		return "", err
	}
	if !missing && spec.Same(current) {
		return unchanged, nil
	}
	if r.own(tenant) {
		if err := r.api.mayMakeOwners(ctx, r.call, mayFill); err != nil {
			return "", err
		}
	}
	if !r.dry {
		if _, err := r.api.cfg.Google.Put(ctx, r.call.cause, tenant, spec.Settings, []byte(spec.Key), current.Version); err != nil {
			return "", err
		}
	}
	if missing {
		return created, nil
	}
	return changed, nil
}
