package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Feed tells what has changed in a tenant's directory.
type Feed interface {
	// Now gives the cursor of this moment, and After what is behind one.
	Now(ctx context.Context, tenant identity.TenantID) (feed.Page, error)
	After(ctx context.Context, tenant identity.TenantID, cursor string, limit int) (feed.Page, error)
	// Await gives a channel that is closed once the directory has changed; nil if nobody
	// is to wait.
	Await(tenant identity.TenantID) (changed <-chan struct{}, done func())
}

const (
	// maxWait is how many seconds a reader may wait for changes.
	maxWait = 30
	// askAgain is when a reader who waits has the feed asked anyway: a node may have
	// heard nothing of a change of another one.
	askAgain = 5 * time.Second
)

type listChangesInput struct {
	From   string `query:"from" enum:"now" doc:"now, as without a cursor: no changes, but the cursor behind which all comes that happens from now on"`
	Cursor string `query:"cursor" maxLength:"128" doc:"The cursor of the answer before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most"`
	Wait   int    `query:"wait" minimum:"0" maximum:"30" doc:"For how many seconds the answer may wait for a change if there is none; it may come earlier, and without any"`
}

// changes is a part of what has changed.
type directoryChanges struct {
	Items  []feed.Notice `json:"items"`
	Cursor string        `json:"cursor" doc:"Hand it back as cursor for what comes after these"`
	More   bool          `json:"more" doc:"There is more already"`
}

func (a *API) registerFeed() {
	register(a, operation{id: "list-directory-changes", method: http.MethodGet, path: "/directory/changes", tag: "Directory", needs: reads("users"),
		summary: "Follow what changes of people and groups, in order and at least once; takes gatehouse.groups:read as well. 410 means: read everything anew"}, a.listChanges)
}

// mayReadDirectory asks for the right to read people and groups, for what shows both.
func (a *API) mayReadDirectory(ctx context.Context, c *call) error {
	for _, object := range []string{"users", "groups"} {
		query := authz.Query{Tenant: c.tenant(), Access: authz.NeedPermission, Permission: reads(object)}
		permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, query)
		if err != nil {
			return err
		}
		if !permit.Valid(c.tenant()) {
			return query.Refusal(c.principal)
		}
	}
	return nil
}

func (a *API) listChanges(ctx context.Context, c *call, in *listChangesInput) (*bodyOutput[directoryChanges], error) {
	if in.From != "" && in.Cursor != "" {
		return nil, fault.New(fault.Invalid, "bad-cursor", "Say either from=now, or the cursor of the answer before.")
	}
	if err := a.mayReadDirectory(ctx, c); err != nil {
		return nil, err
	}
	if in.Cursor == "" {
		return shownChanges(a.cfg.Feed.Now(ctx, c.tenant()))
	}
	end := time.Now().Add(time.Duration(min(in.Wait, maxWait)) * time.Second)
	for {
		// Before it is read, so that nothing falls between the two.
		changed, done := a.cfg.Feed.Await(c.tenant())
		page, err := a.cfg.Feed.After(ctx, c.tenant(), in.Cursor, in.Limit)
		left := time.Until(end)
		if err != nil || len(page.Events) > 0 || left <= 0 || changed == nil {
			done()
			// Whoever waits may have lost the right to see what comes.
			if err == nil && in.Wait > 0 {
				err = a.still(ctx, c)
			}
			if err == nil && in.Wait > 0 {
				err = a.mayReadDirectory(ctx, c)
			}
			return shownChanges(page, err)
		}
		again := time.NewTimer(min(left, askAgain))
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
		done()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func shownChanges(p feed.Page, err error) (*bodyOutput[directoryChanges], error) {
	if err != nil {
		return nil, err
	}
	return &bodyOutput[directoryChanges]{directoryChanges{Items: p.Events, Cursor: p.Cursor, More: p.More}}, nil
}
