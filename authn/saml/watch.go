package saml

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

const (
	// watchEvery is how often the providers of all connections are looked at.
	watchEvery = time.Hour
	// watchAgain is how often those are by which nobody will be able to sign in.
	watchAgain = 5 * time.Minute
	// watchTime bounds a look at one of them, and watchers is how many are looked at
	// at a time.
	watchTime = 30 * time.Second
	watchers  = 4
	// endsSoon is how long before the end of a certificate, or of metadata that
	// somebody has to bring, its admin is told; and endsAtOnce before that of metadata
	// that is fetched, where whoever publishes it renews it.
	endsSoon   = 30 * 24 * time.Hour
	endsAtOnce = 12 * time.Hour
)

// Standing is what is known of an identity provider at this moment.
type Standing struct {
	Entity       string
	Until        time.Time // of its metadata; zero: no end
	Certificates []*x509.Certificate
	Pinned       *x509.Certificate // has signed the metadata; nil if none had to
}

// Standing tells how a connection's provider is known.
func (p *Protocol) Standing(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (Standing, error) {
	idp, err := p.provider(ctx, tenant, c)
	if err != nil {
		return Standing{}, err
	}
	return Standing{Entity: idp.metadata.EntityID, Until: idp.until, Certificates: slices.Clone(idp.keys), Pinned: idp.pinned}, nil
}

// Tenants says whose connections there are to watch.
type Tenants interface {
	List() []*tenants.Tenant
	Connections(ctx context.Context, tenant identity.TenantID) ([]tenants.Connection, error)
}

// Ending is a connection by which nobody will be able to sign in soon, or can any
// more, and why.
type Ending struct {
	Tenant     identity.TenantID
	Connection string
	Why        string // a sentence
}

// Watch looks after SAML connections beside all requests: it prepares keys of ours
// well before their certificates end, and finds providers whose metadata or
// certificates do. It is safe for concurrent use.
type Watch struct {
	protocol *Protocol
	tenants  Tenants
	log      *slog.Logger

	mu     sync.Mutex
	ending []Ending
}

// NewWatch makes a watch over these tenants' connections.
func NewWatch(p *Protocol, t Tenants, log *slog.Logger) *Watch {
	return &Watch{protocol: p, tenants: t, log: log}
}

// Ending gives what the last look has found.
func (w *Watch) Ending() []Ending {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ending)
}

// Run looks now and every hour until ctx ends, and in between, more often, at what it has
// found: whoever has mended something is not told of it for an hour more.
func (w *Watch) Run(ctx context.Context) error {
	tick, again := time.NewTicker(watchEvery), time.NewTicker(watchAgain)
	defer tick.Stop()
	defer again.Stop()
	w.Look(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.Look(ctx)
		case <-again.C:
			w.LookAgain(ctx)
		}
	}
}

// Look looks at every connection that is enabled.
func (w *Watch) Look(ctx context.Context) {
	w.look(ctx, func(identity.TenantID, string) bool { return true })
}

// LookAgain looks at the connections that the last look has found, as they are now.
func (w *Watch) LookAgain(ctx context.Context) {
	type named struct {
		tenant     identity.TenantID
		connection string
	}
	found := map[named]bool{}
	for _, e := range w.Ending() {
		found[named{e.Tenant, e.Connection}] = true
	}
	if len(found) > 0 {
		w.look(ctx, func(tenant identity.TenantID, connection string) bool { return found[named{tenant, connection}] })
	}
}

// look looks at those of the enabled connections that are chosen: nothing else is known
// of any more.
func (w *Watch) look(ctx context.Context, chosen func(identity.TenantID, string) bool) {
	var work errgroup.Group
	work.SetLimit(watchers)
	var mu sync.Mutex
	var found []Ending
	for _, t := range w.tenants.List() {
		if t.Status != tenants.Active {
			continue
		}
		all, err := w.tenants.Connections(ctx, t.ID)
		if err != nil {
			w.log.WarnContext(ctx, "connections are not watched", "tenant", t.ID, "error", err)
		}
		for _, c := range all {
			if c.Type != tenants.SAML || !c.Enabled || !chosen(t.ID, c.Name) {
				continue
			}
			work.Go(func() error {
				if why := w.one(ctx, t.ID, c); why != "" {
					mu.Lock()
					defer mu.Unlock()
					found = append(found, Ending{t.ID, c.Name, why})
				}
				return nil
			})
		}
	}
	_ = work.Wait() // none fails
	if ctx.Err() != nil {
		return // and did not see all
	}
	slices.SortFunc(found, func(a, b Ending) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Connection, b.Connection))
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = found
}

// one looks at a connection, and says what is about to be over.
func (w *Watch) one(ctx context.Context, tenant identity.TenantID, c tenants.Connection) string {
	ctx, cancel := context.WithTimeout(httpkit.OnBehalf(ctx, tenant), watchTime)
	defer cancel()
	if err := w.protocol.tend(ctx, tenant, c); err != nil {
		w.log.WarnContext(ctx, "the next key of a connection is not prepared", "tenant", tenant, "connection", c.Name, "error", err)
	}
	idp, err := w.protocol.loadSafely(ctx, c)
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		return fmt.Sprintf("Connection %s: %s", c.Name, refusal.Message)
	} else if err != nil {
		return fmt.Sprintf("Connection %s: the identity provider's metadata cannot be read.", c.Name)
	}
	return idp.ends(c, w.protocol.now())
}

// ends says what of a provider is over soon, or already. An old certificate does not
// matter while there is a newer one.
func (p *provider) ends(c tenants.Connection, now time.Time) string {
	early := endsSoon
	if specOf(c).IDPMetadata.URL != "" {
		early = endsAtOnce
	}
	if !p.until.IsZero() && now.Add(early).After(p.until) {
		return fmt.Sprintf("Connection %s: the identity provider's metadata ends at %s.", c.Name, stamp(p.until))
	}
	last := slices.MaxFunc(p.keys, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	if now.Add(endsSoon).After(last.NotAfter) {
		return fmt.Sprintf("Connection %s: the last of the identity provider's certificates ends at %s.", c.Name, stamp(last.NotAfter))
	}
	if p.pinned != nil && now.Add(endsSoon).After(p.pinned.NotAfter) {
		return fmt.Sprintf("Connection %s: the certificate that signs the identity provider's metadata ends at %s.", c.Name, stamp(p.pinned.NotAfter))
	}
	return ""
}

// loadSafely reads what strangers wrote; reading it must not be the end of the watch.
func (p *Protocol) loadSafely(ctx context.Context, c tenants.Connection) (_ *provider, err error) {
	defer guard(&err)
	return p.load(ctx, c)
}
