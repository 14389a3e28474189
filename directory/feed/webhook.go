package feed

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

const (
	// MaxWebhooks is how many webhooks a tenant may have.
	MaxWebhooks = 10
	// Overlap is for how long what is sent is signed with the secret before the last one
	// as well.
	Overlap = 24 * time.Hour

	maxName = 63
	maxURL  = 2048
	// secretPrefix begins a secret, as the Standard Webhooks convention has it.
	secretPrefix = "whsec_"
	sealPurpose  = "webhook"
	effectTime   = 10 * time.Second
)

// Webhook is an address that the changes are sent to.
type Webhook struct {
	ID      string
	Name    string // unique in the tenant: [a-z0-9-]
	URL     string // https
	Types   []directory.ChangeType
	Enabled bool
	// PreviousUntil is until when the secret before this one is in use as well; zero:
	// there is none.
	PreviousUntil        time.Time
	Version              uint64
	CreatedAt, UpdatedAt time.Time

	// What has become of it: nothing of it is said by [Service.Put].
	Stopped      string    // why nothing is sent any more: StoppedGone or StoppedFailing; or ""
	Failures     int       // in a row
	FailingSince time.Time // zero: the last one was taken
	NextAt       time.Time // when it is tried again; zero: at once
	Behind       int       // how many changes it has not been sent; [MaxBehind]: so many or more

	position, triedTo uint64
	holder            string
	heldUntil         time.Time
	sealed            []byte
}

// The reasons to stop by ourselves.
const (
	StoppedGone    = "gone"    // the receiver says 410
	StoppedFailing = "failing" // nothing was taken for days
)

// MaxBehind is up to where changes are counted.
const MaxBehind = 10_000

// secret is a key that messages are signed with, until a time if there is one.
type secret struct {
	Key   []byte `json:"key"`
	Until int64  `json:"until,omitempty"` // Unix milliseconds
}

var (
	errNoWebhook = fault.New(fault.NotFound, "no-such-webhook", "There is no such webhook.")
	errVersion   = fault.New(fault.Precondition, "version-changed", "It was changed in the meantime. Read it again, and repeat the change.")
)

func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "bad-webhook", "The webhook is not right: "+fmt.Sprintf(format, args...)+".")
}

// check refuses a webhook that is wrong in itself.
func (w *Webhook) check() error {
	u, err := url.Parse(w.URL)
	switch {
	case !isName(w.Name):
		return bad("its name is 1 to %d lower-case letters, digits and hyphens, with no hyphen at an end", maxName)
	case len(w.URL) > maxURL || err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !httpkit.PlainLoopback(u.Scheme, u.Hostname()):
		return bad("its url is one of https, without a user, a password and a fragment, of at most %d characters", maxURL)
	case u.Path == hidden:
		return bad("its url is only in part what it was shown as to somebody who may not change it; give the whole one")
	}
	for i, t := range w.Types {
		if !slices.Contains(directory.ChangeTypes, t) || slices.Contains(w.Types[:i], t) {
			return bad("its types are each one of %v, once", directory.ChangeTypes)
		}
	}
	return nil
}

func isName(s string) bool {
	return s != "" && len(s) <= maxName && s[0] != '-' && s[len(s)-1] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// hidden stands for the path of a url.
const hidden = "/…"

// Veiled is the webhook as who may not change it sees it: the path of its url, which may be
// a secret of the receiver's, is not shown. [Service.Put] refuses such a url.
func (w Webhook) Veiled() Webhook {
	w.URL = "https://" + w.host() + hidden
	return w
}

// host is what a record holds of the url, whose path may be a secret of the receiver's.
func (w *Webhook) host() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

func (w *Webhook) event(cause audit.Cause, tenant identity.TenantID, kind audit.Type) audit.Event {
	e := cause.Event(tenant, kind, audit.Success)
	e.Target = audit.Target{Kind: "webhook", ID: w.ID, Name: w.Name}
	e.Details = map[string]string{"host": w.host()}
	return e
}

const webhookColumns = `id, name, url, types, enabled, secrets, version, created_at, updated_at, position, tried_to, failures, failing_since, next_at, stopped, holder, held_until`

func scanWebhook(r store.Row) (w Webhook, err error) {
	var types string
	var created, updated, since, next, held int64
	if err := r.Scan(&w.ID, &w.Name, &w.URL, &types, &w.Enabled, &w.sealed, &w.Version, &created, &updated, &w.position, &w.triedTo, &w.Failures, &since, &next, &w.Stopped, &w.holder, &held); err != nil {
		return w, err
	}
	for t := range strings.SplitSeq(types, ",") {
		if t != "" {
			w.Types = append(w.Types, directory.ChangeType(t))
		}
	}
	w.CreatedAt, w.UpdatedAt, w.FailingSince, w.NextAt, w.heldUntil = store.Time(created), store.Time(updated), store.Time(since), store.Time(next), store.Time(held)
	return w, nil
}

func loadWebhooks(ctx context.Context, tx *store.Tx) ([]Webhook, error) {
	return store.All(ctx, tx, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks ORDER BY name LIMIT $1`, MaxWebhooks)
}

func loadWebhook(ctx context.Context, tx *store.Tx, column, is string) (Webhook, error) {
	w, err := store.One(ctx, tx, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks WHERE `+column+` = $1`, is)
	if errors.Is(err, store.ErrNoRows) {
		err = errNoWebhook
	}
	return w, err
}

// show adds what is not kept in the webhook's row.
func (s *Service) show(ctx context.Context, tx *store.Tx, tenant identity.TenantID, w *Webhook) (err error) {
	if w.Behind, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM (SELECT seq FROM feed_changes WHERE seq > $1 LIMIT $2) AS behind`, w.position, MaxBehind); err != nil {
		return err
	}
	secrets, err := s.secrets(ctx, tenant, w)
	if err == nil && len(secrets) > 1 {
		w.PreviousUntil = store.Time(secrets[1].Until)
	}
	return err
}

// Webhooks gives those of a tenant by name.
func (s *Service) Webhooks(ctx context.Context, tenant identity.TenantID) (all []Webhook, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		if all, err = loadWebhooks(ctx, tx); err != nil {
			return err
		}
		for i := range all {
			if err := s.show(ctx, tx, tenant, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// Webhook gives the one of a name.
func (s *Service) Webhook(ctx context.Context, tenant identity.TenantID, name string) (w Webhook, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		if w, err = loadWebhook(ctx, tx, "name", name); err != nil {
			return err
		}
		return s.show(ctx, tx, tenant, &w)
	})
	return w, err
}

// secrets gives the keys that are in use, the newest first.
func (s *Service) secrets(ctx context.Context, tenant identity.TenantID, w *Webhook) ([]secret, error) {
	plain, err := s.keys.Open(ctx, tenant, sealPurpose+w.ID, w.sealed)
	if err != nil {
		return nil, fmt.Errorf("feed: open secrets of a webhook: %w", err)
	}
	var all []secret
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, errors.New("feed: the secrets of a webhook cannot be read") // nothing of them is said
	}
	now := s.now().UnixMilli()
	return slices.DeleteFunc(all, func(k secret) bool { return k.Until != 0 && k.Until <= now }), nil
}

func (s *Service) seal(ctx context.Context, tenant identity.TenantID, w *Webhook, keys []secret) error {
	plain, err := json.Marshal(keys)
	if err == nil {
		w.sealed, err = s.keys.Seal(ctx, tenant, sealPurpose+w.ID, plain)
	}
	return err
}

// newSecret makes a key, and how the receiver's admin is told it.
func newSecret() (secret, string) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand aborts the program instead
	return secret{Key: key}, secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Put makes the webhook of this name or replaces its url, types and whether it is
// enabled. A new one begins with what changes from now on, and its secret is given this
// once; one that is there keeps its secret and its place. Enabling it, though it is,
// takes back that it was stopped. A version other than 0 must be that of the webhook
// which is there.
func (s *Service) Put(ctx context.Context, cause audit.Cause, tenant identity.TenantID, wanted Webhook) (w Webhook, shown string, err error) {
	if err := wanted.check(); err != nil {
		return Webhook{}, "", err
	}
	change := "replaced"
	before, err := s.Webhook(ctx, tenant, wanted.Name)
	switch {
	case fault.Is(err, fault.NotFound) && wanted.Version == 0:
		change, w = "created", Webhook{ID: strings.ToLower(rand.Text()), Name: wanted.Name, CreatedAt: s.now()}
		var key secret
		key, shown = newSecret()
		if err := s.seal(ctx, tenant, &w, []secret{key}); err != nil {
			return Webhook{}, "", err
		}
	case fault.Is(err, fault.NotFound):
		return Webhook{}, "", errVersion
	case err != nil:
		return Webhook{}, "", err
	case wanted.Version != 0 && wanted.Version != before.Version:
		return Webhook{}, "", errVersion
	default:
		w = before
	}
	w.URL, w.Types, w.Enabled, w.UpdatedAt = wanted.URL, wanted.Types, wanted.Enabled, s.now()
	w.Version++
	e := w.event(cause, tenant, audit.WebhookChanged)
	e.Details["change"], e.Details["enabled"], e.Details["version"], e.Details["types"] = change, strconv.FormatBool(w.Enabled), strconv.FormatUint(w.Version, 10), joined(w.Types)
	if before.ID != "" && before.host() != w.host() {
		e.Details["host_before"] = before.host()
	}
	err = s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error {
		if change == "created" {
			return insertWebhook(ctx, tx, &w)
		}
		return replaceWebhook(ctx, tx, &w)
	})
	if store.IsUnique(err) {
		err = errVersion
	}
	if err != nil {
		return Webhook{}, "", err
	}
	w, err = s.Webhook(ctx, tenant, w.Name)
	return w, shown, err
}

func joined(types []directory.ChangeType) string {
	texts := make([]string, len(types))
	for i, t := range types {
		texts[i] = string(t)
	}
	return strings.Join(texts, ",")
}

func insertWebhook(ctx context.Context, tx *store.Tx, w *Webhook) error {
	n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM webhooks`)
	if err == nil && n >= MaxWebhooks {
		err = fault.New(fault.Conflict, "too-many-webhooks", "There are %d webhooks, and there can be no more. Delete those that are not used any more.", n)
	}
	if err != nil {
		return err
	}
	h, err := loadHead(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO webhooks (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, '', '', 0)`,
		w.ID, w.Name, w.URL, joined(w.Types), w.Enabled, w.sealed, w.Version, store.Millis(w.CreatedAt), store.Millis(w.UpdatedAt), h.last)
	return err
}

// replaceWebhook also lets go of what was tried: it may be another receiver, and it is
// asked at once.
func replaceWebhook(ctx context.Context, tx *store.Tx, w *Webhook) error {
	n, err := tx.Exec(ctx, `UPDATE webhooks SET url = $1, types = $2, enabled = $3, secrets = $4, version = $5, updated_at = $6,
			tried_to = 0, failures = 0, failing_since = 0, next_at = 0, stopped = '' WHERE id = $7 AND version = $8`,
		w.URL, joined(w.Types), w.Enabled, w.sealed, w.Version, store.Millis(w.UpdatedAt), w.ID, w.Version-1)
	if err == nil && n == 0 {
		err = errVersion
	}
	return err
}

// Rotate gives a webhook a new secret, which is given this once. What is sent within
// [Overlap] from now is signed with the one before as well.
func (s *Service) Rotate(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) (w Webhook, shown string, err error) {
	if w, err = s.Webhook(ctx, tenant, name); err != nil {
		return Webhook{}, "", err
	}
	if ifVersion != 0 && ifVersion != w.Version {
		return Webhook{}, "", errVersion
	}
	keys, err := s.secrets(ctx, tenant, &w)
	if err != nil {
		return Webhook{}, "", err
	}
	fresh, shown := newSecret()
	until := s.now().Add(Overlap)
	keys[0].Until = until.UnixMilli()
	if err := s.seal(ctx, tenant, &w, []secret{fresh, keys[0]}); err != nil {
		return Webhook{}, "", err
	}
	w.UpdatedAt = s.now()
	w.Version++
	e := w.event(cause, tenant, audit.WebhookChanged)
	e.Details["change"], e.Details["version"], e.Details["until"] = "secret-rotated", strconv.FormatUint(w.Version, 10), until.Format(time.RFC3339)
	err = s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE webhooks SET secrets = $1, version = $2, updated_at = $3 WHERE id = $4 AND version = $5`,
			w.sealed, w.Version, store.Millis(w.UpdatedAt), w.ID, w.Version-1)
		if err == nil && n == 0 {
			err = errVersion
		}
		return err
	})
	if err != nil {
		return Webhook{}, "", err
	}
	w, err = s.Webhook(ctx, tenant, name)
	return w, shown, err
}

// DeleteWebhook deletes a webhook, of this version unless it is 0. A message that is on
// its way may still arrive; no other is sent.
func (s *Service) DeleteWebhook(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error {
	w, err := s.Webhook(ctx, tenant, name)
	if err != nil {
		return err
	}
	if ifVersion != 0 && ifVersion != w.Version {
		return errVersion
	}
	return s.change(ctx, tenant, w.event(cause, tenant, audit.WebhookDeleted), func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `DELETE FROM webhooks WHERE id = $1 AND ($2 = 0 OR version = $2)`, w.ID, ifVersion)
		if err == nil && n == 0 {
			err = errVersion
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM webhook_deliveries WHERE webhook_id = $1`, w.ID)
		return err
	})
}

// change records what is to be (P1), and makes it true whether the caller stays or not.
func (s *Service) change(ctx context.Context, tenant identity.TenantID, e audit.Event, write func(context.Context, *store.Tx) error) error {
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return fmt.Errorf("feed: journal %s: %w", e.Type, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error { return write(ctx, tx) })
	if err != nil {
		e.Outcome, e.Reason = audit.Failed, "store-failed"
		e.Message = "The change was announced by an earlier record of this request, but could not be stored."
		_, _ = s.journal.Commit(ctx, e) // the caller already reports the failure that matters
		return err
	}
	s.look(ctx, tenant)
	return nil
}
