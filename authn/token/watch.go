package token

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// endingWithin is how long before its end a token is told of.
	endingWithin = 14 * 24 * time.Hour
	// Every tenant is looked at once per watchEvery, and one whose token is known to end
	// once per watchAgain, so that what was mended is not told for long.
	watchEvery = time.Hour
	watchAgain = 10 * time.Second
	watchTime  = 5 * time.Second
)

// Watch knows of which tenants a provider will be refused soon: it uses a SCIM token or
// client that ends within 14 days, and in whose place there is no other one.
type Watch struct {
	tokens  *Service
	tenants func() []identity.TenantID
	log     *slog.Logger

	mu     sync.Mutex
	ending map[identity.TenantID]string
}

// NewWatch watches over these tenants. [Watch.Run] must run.
func NewWatch(tokens *Service, tenants func() []identity.TenantID, log *slog.Logger) *Watch {
	return &Watch{tokens: tokens, tenants: tenants, log: log, ending: map[identity.TenantID]string{}}
}

// Ending is a tenant, and a sentence on which token ends when.
type Ending struct {
	Tenant identity.TenantID
	Why    string
}

// Ending gives what is known. It waits for nothing.
func (w *Watch) Ending() (all []Ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for tenant, why := range w.ending {
		all = append(all, Ending{tenant, why})
	}
	slices.SortFunc(all, func(a, b Ending) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all
}

// Forget drops what is known of a tenant that was deleted.
func (w *Watch) Forget(tenant identity.TenantID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ending, tenant)
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	all, again := time.NewTicker(watchEvery), time.NewTicker(watchAgain)
	defer all.Stop()
	defer again.Stop()
	w.Look(ctx, w.tenants())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-all.C:
			w.Look(ctx, w.tenants())
		case <-again.C:
			w.mu.Lock()
			known := slices.Collect(maps.Keys(w.ending))
			w.mu.Unlock()
			w.Look(ctx, known)
		}
	}
}

// Look looks at tenants. Of one that cannot be read what is known stays as it was.
func (w *Watch) Look(ctx context.Context, of []identity.TenantID) {
	for _, tenant := range of {
		if ctx.Err() != nil {
			return
		}
		why, err := w.look(ctx, tenant)
		w.mu.Lock()
		switch {
		case err != nil:
			w.log.WarnContext(ctx, "it is not known whether a SCIM token is about to end", "tenant", tenant, "error", err)
		case why == "":
			delete(w.ending, tenant)
		default:
			w.ending[tenant] = why
		}
		w.mu.Unlock()
	}
}

func (w *Watch) look(ctx context.Context, tenant identity.TenantID) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	now := w.tokens.now()
	var t Token
	err := w.tokens.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		t, err = store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens
			WHERE scope = $1 AND revoked_at IS NULL AND successor_id = '' AND last_used_at > 0 AND expires_at > $2 AND expires_at <= $3
			ORDER BY expires_at, id LIMIT 1`, string(ScopeSCIM), store.Millis(now), store.Millis(now.Add(endingWithin)))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return `The SCIM token "` + t.Name + `" (` + string(t.ID) + `) ends on ` + t.ExpiresAt.UTC().Format(time.DateOnly) + `.`, nil
}
