package authn

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/throttle"
)

// How often one client network may begin a sign-in: an office behind one address
// fits, a flood does not. And how often all of them may at one tenant: a morning of
// ten thousand people fits.
const (
	defaultStartsPerSecond       = 20
	defaultStartBurst            = 200
	defaultTenantStartsPerSecond = 100
	defaultTenantStartBurst      = 3000
)

// crowded is what a network may do while its tenant is flooded from many at once. A
// flood is held down by that, and a person who comes from elsewhere still gets in:
// no stranger can use up what they have.
var crowded = throttle.Limit{Every: 5 * time.Second, Burst: 10}

// siteShare is how many networks' worth all those of a site may do: whoever has one
// of IPv6 has as many networks as they like.
const siteShare = 5

// Throttle limits how often something with a key may be done, on all nodes together.
type Throttle interface {
	Allow(ctx context.Context, key string, limit throttle.Limit) (ok bool, retryAfter time.Duration)
}

// starts limits how often sign-ins are begun: each costs records, rows, and often a
// question to an identity provider, before anybody knows who it is.
type starts struct {
	throttle                    Throttle
	perNetwork, perSite, tenant throttle.Limit
}

func newStarts(c Config) *starts {
	if c.Throttle == nil {
		c.Throttle = throttle.New(nil, "", slog.New(slog.DiscardHandler))
	}
	perNetwork := throttle.PerSecond(cmp.Or(c.StartsPerSecond, defaultStartsPerSecond), cmp.Or(c.StartBurst, defaultStartBurst))
	return &starts{
		throttle:   c.Throttle,
		perNetwork: perNetwork,
		perSite:    ofSite(perNetwork),
		tenant:     throttle.PerSecond(cmp.Or(c.TenantStartsPerSecond, defaultTenantStartsPerSecond), cmp.Or(c.TenantStartBurst, defaultTenantStartBurst)),
	}
}

func ofSite(network throttle.Limit) throttle.Limit {
	return throttle.Limit{Every: network.Every / siteShare, Burst: network.Burst * siteShare}
}

// allow refuses a request that would begin one more. Whoever is refused for their
// network takes nothing of what the others at the tenant have.
func (s *starts) allow(ctx context.Context) error {
	req := httpkit.RequestFrom(ctx)
	if ok, wait := s.within(ctx, "signin", req.ClientIP, s.perNetwork, s.perSite); !ok {
		return tooMany("Too many sign-ins were begun from your network. Wait a moment and try again.", wait)
	}
	if ok, _ := s.throttle.Allow(ctx, "signin tenant "+string(req.Tenant), s.tenant); ok {
		return nil
	}
	if ok, wait := s.within(ctx, "signin crowded "+string(req.Tenant), req.ClientIP, crowded, ofSite(crowded)); !ok {
		return tooMany("Very many sign-ins are being begun here at the moment, many of them from your network. Wait a moment and try again.", wait)
	}
	return nil
}

// within reports whether a client's network, and the site that it is of, may do
// something once more, and otherwise when to ask again.
func (s *starts) within(ctx context.Context, what string, ip netip.Addr, perNetwork, perSite throttle.Limit) (bool, time.Duration) {
	network, site := httpkit.ClientNetwork(ip), httpkit.ClientSite(ip)
	if ok, wait := s.throttle.Allow(ctx, what+" network "+network.String(), perNetwork); !ok || site == network {
		return ok, wait
	}
	return s.throttle.Allow(ctx, what+" site "+site.String(), perSite)
}

func tooMany(detail string, wait time.Duration) error {
	f := fault.New(fault.TooMany, "too-many-sign-ins", detail)
	f.RetryAfter = wait
	return f
}
