package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/api/resources"
	"gatehouse/audit"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Webhooks keeps whom the changes of a tenant's directory are sent to.
type Webhooks interface {
	Webhooks(ctx context.Context, tenant identity.TenantID) ([]feed.Webhook, error)
	Webhook(ctx context.Context, tenant identity.TenantID, name string) (feed.Webhook, error)
	// Put answers with the secret of a webhook that is new, Rotate with the new one; it
	// is given by nothing else.
	Put(ctx context.Context, cause audit.Cause, tenant identity.TenantID, wanted feed.Webhook) (feed.Webhook, string, error)
	Rotate(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) (feed.Webhook, string, error)
	DeleteWebhook(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error
	Deliveries(ctx context.Context, tenant identity.TenantID, name string) ([]feed.Delivery, error)
}

// Sender sends to webhooks.
type Sender interface {
	Test(ctx context.Context, tenant identity.TenantID, name string) (feed.Attempt, error)
}

// webhook is an address that changes are sent to.
type webhook struct {
	ID            string                `json:"id"`
	Name          string                `json:"name"`
	Spec          resources.WebhookSpec `json:"spec" doc:"As it is put; without the path of its url for who lacks gatehouse.webhooks:write"`
	State         string                `json:"state" enum:"on,off,failing,stopped" doc:"failing: the last message was not taken, and is tried again. stopped: nothing is sent until it is put again"`
	Stopped       string                `json:"stopped_because,omitempty" enum:"gone,failing" doc:"gone: the receiver answered 410. failing: nothing was taken for three days"`
	Behind        int                   `json:"behind" doc:"How many changes there are that it has not been sent, at most 10000"`
	Failures      int                   `json:"failures" doc:"In a row"`
	FailingSince  *time.Time            `json:"failing_since,omitempty"`
	NextAt        *time.Time            `json:"next_at,omitempty" doc:"When it is tried again"`
	PreviousUntil *time.Time            `json:"previous_secret_until,omitempty" doc:"Until when messages are signed with the secret before the last one as well"`
	CreatedAt     time.Time             `json:"created_at"`
	UpdatedAt     time.Time             `json:"updated_at"`
	Secret        string                `json:"secret,omitempty" doc:"What messages are signed with: in the answer that has made it only"`
}

// delivery is one message that was sent, or was to be.
type delivery struct {
	MessageID string    `json:"message_id"`
	Changes   int       `json:"changes" doc:"How many changes it tells of"`
	At        time.Time `json:"at"`
	Millis    int64     `json:"took_ms"`
	Status    int       `json:"status,omitempty" doc:"Of the answer; absent: there was none"`
	Problem   string    `json:"problem,omitempty" doc:"Why there was no answer"`
	Taken     bool      `json:"taken"`
}

// Who makes a webhook takes people's data out of the tenant, and may send it anywhere:
// it takes the right to read all of that as well.
func (a *API) registerWebhooks() {
	register(a, operation{id: "list-webhooks", method: http.MethodGet, path: "/webhooks", tag: "Directory", needs: reads("webhooks"),
		summary: "List whom the changes of the directory are sent to"}, a.listWebhooks)
	register(a, operation{id: "get-webhook", method: http.MethodGet, path: "/webhooks/{name}", tag: "Directory", needs: reads("webhooks"),
		summary: "Show a webhook, and how far it has come"}, a.getWebhook)
	register(a, operation{id: "put-webhook", method: http.MethodPut, path: "/webhooks/{name}", tag: "Directory", needs: writes("webhooks"), secret: true,
		status: http.StatusOK, summary: "Make or replace a webhook; takes gatehouse.users:read and gatehouse.groups:read as well. The secret of a new one is in this answer only. One that was stopped goes on where it was"}, a.putWebhook)
	register(a, operation{id: "delete-webhook", method: http.MethodDelete, path: "/webhooks/{name}", tag: "Directory", needs: deletes("webhooks"),
		summary: "Delete a webhook"}, a.deleteWebhook)
	register(a, operation{id: "rotate-webhook-secret", method: http.MethodPost, path: "/webhooks/{name}/rotate", tag: "Directory", needs: writes("webhooks"), secret: true,
		status: http.StatusOK, summary: "Give a webhook a new secret, which is in this answer only; for a day messages are signed with the one before as well. Takes gatehouse.users:read and gatehouse.groups:read"}, a.rotateWebhook)
	register(a, operation{id: "test-webhook", method: http.MethodPost, path: "/webhooks/{name}/test", tag: "Directory", needs: writes("webhooks"),
		status: http.StatusOK, summary: "Send a webhook a message without changes, and tell what became of it. Six at once, then one every ten seconds"}, a.testWebhook)
	register(a, operation{id: "list-webhook-deliveries", method: http.MethodGet, path: "/webhooks/{name}/deliveries", tag: "Directory", needs: reads("webhooks"),
		summary: "List the last 50 messages to a webhook, the newest first"}, a.listDeliveries)
}

func webhookOf(w feed.Webhook) webhook {
	view := webhook{ID: w.ID, Name: w.Name, Spec: resources.SpecOfWebhook(w), State: "on", Stopped: w.Stopped, Behind: w.Behind, Failures: w.Failures,
		FailingSince: timestamp(w.FailingSince), PreviousUntil: timestamp(w.PreviousUntil), CreatedAt: w.CreatedAt.UTC(), UpdatedAt: w.UpdatedAt.UTC()}
	switch {
	case !w.Enabled:
		view.State = "off"
	case w.Stopped != "":
		view.State = "stopped"
	case w.Failures > 0:
		view.State, view.NextAt = "failing", timestamp(w.NextAt)
	}
	return view
}

// seenWebhook gives how the caller sees webhooks: without the paths of their addresses,
// which may be secrets, unless they may change them.
func (a *API) seenWebhook(ctx context.Context, c *call) (func(feed.Webhook) webhook, error) {
	whole, err := a.may(ctx, c, writes("webhooks"))
	if err != nil || whole {
		return webhookOf, err
	}
	return func(w feed.Webhook) webhook { return webhookOf(w.Veiled()) }, nil
}

func (a *API) listWebhooks(ctx context.Context, c *call, in *Paging) (*pageOutput[webhook], error) {
	seen, err := a.seenWebhook(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := a.cfg.Webhooks.Webhooks(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(w feed.Webhook) string { return w.Name }, seen), nil
}

// shownWebhook shows a webhook with its secret, if that is new.
func shownWebhook(w feed.Webhook, secret string, err error) (*versioned[webhook], error) {
	if err != nil {
		return nil, err
	}
	view := webhookOf(w)
	view.Secret = secret
	return withVersion(w.Version, view), nil
}

func (a *API) getWebhook(ctx context.Context, c *call, in *ByName) (*versioned[webhook], error) {
	seen, err := a.seenWebhook(ctx, c)
	if err != nil {
		return nil, err
	}
	w, err := a.cfg.Webhooks.Webhook(ctx, c.tenant(), in.Name)
	if err != nil {
		return nil, err
	}
	return withVersion(w.Version, seen(w)), nil
}

func (a *API) putWebhook(ctx context.Context, c *call, in *struct {
	ByName
	Condition
	Creation
	Body resources.WebhookSpec
}) (*versioned[webhook], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if err := a.mayReadDirectory(ctx, c); err != nil {
		return nil, err
	}
	current, err := a.cfg.Webhooks.Webhook(ctx, c.tenant(), in.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err := in.Creation.check(current.ID != ""); err != nil {
		return nil, err
	}
	return shownWebhook(a.cfg.Webhooks.Put(ctx, c.cause, c.tenant(), in.Body.Webhook(in.Name, version)))
}

func (a *API) deleteWebhook(ctx context.Context, c *call, in *struct {
	ByName
	Condition
}) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Webhooks.DeleteWebhook(ctx, c.cause, c.tenant(), in.Name, version)
}

func (a *API) rotateWebhook(ctx context.Context, c *call, in *struct {
	ByName
	Condition
}) (*versioned[webhook], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if err := a.mayReadDirectory(ctx, c); err != nil {
		return nil, err
	}
	return shownWebhook(a.cfg.Webhooks.Rotate(ctx, c.cause, c.tenant(), in.Name, version))
}

func deliveryOf(id string, changes int, t feed.Attempt) delivery {
	return delivery{MessageID: id, Changes: changes, At: t.Began.UTC(), Millis: t.Took.Milliseconds(), Status: t.Status, Problem: t.Problem, Taken: t.Taken()}
}

func (a *API) testWebhook(ctx context.Context, c *call, in *ByName) (*bodyOutput[delivery], error) {
	sent, err := a.cfg.Sender.Test(ctx, c.tenant(), in.Name)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[delivery]{deliveryOf("", 0, sent)}, nil
}

func (a *API) listDeliveries(ctx context.Context, c *call, in *ByName) (*bodyOutput[page[delivery]], error) {
	found, err := a.cfg.Webhooks.Deliveries(ctx, c.tenant(), in.Name)
	if err != nil {
		return nil, err
	}
	out := pageOf(found, "", func(d feed.Delivery) delivery { return deliveryOf(d.MessageID, d.Changes, d.Attempt) })
	return &bodyOutput[page[delivery]]{out.Body}, nil
}

func (r *application) webhook(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.WebhookSpec](d)
	if err != nil {
		return "", err
	}
	current, err := r.api.cfg.Webhooks.Webhook(ctx, tenant, d.Name)
	missing := fault.Is(err, fault.NotFound)
	if err != nil && !missing {
		return "", err
	}
	if !missing && spec.Same(current) {
		return unchanged, nil
	}
	if r.own(tenant) {
		if err := r.api.mayReadDirectory(ctx, r.call); err != nil {
			return "", err
		}
	}
	if !r.dry {
		if _, _, err := r.api.cfg.Webhooks.Put(ctx, r.call.cause, tenant, spec.Webhook(d.Name, current.Version)); err != nil {
			return "", err
		}
	}
	if missing {
		return created, nil
	}
	return changed, nil
}
