package local

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/throttle"
)

// How often passwords are looked at. What a stranger can use up is that of strangers
// alone: a browser in which somebody has signed in before has a count of its own for
// them, and passkeys have nothing to do with any of these.
var (
	// perNetwork is for one client network, perAccount for one address that is entered,
	// whether anybody has it or not, and perTenant for all that strangers try at one
	// tenant, from however many networks.
	perNetwork = throttle.Limit{Every: 30 * time.Second, Burst: 10}
	perAccount = throttle.Limit{Every: 5 * time.Minute, Burst: 10}
	perTenant  = throttle.Limit{Every: 3 * time.Second, Burst: 100}
	// perSite is what is left to one site (an IPv4 address, a /48 of IPv6) once
	// strangers have used up what there is for an address or at a tenant: enough for a
	// person who comes from elsewhere than they. perCrowd bounds what all sites have of
	// it together, so that nobody's many addresses make a guess worth while.
	perSite  = throttle.Limit{Every: time.Hour, Burst: 3}
	perCrowd = throttle.Limit{Every: 1800 * time.Millisecond, Burst: 4000}
	// perBrowser is for one browser that knows one person.
	perBrowser = throttle.Limit{Every: time.Minute, Burst: 10}
	// passkeysPerNetwork bounds what a network has us verify. Nobody guesses a
	// signature, so it is wide.
	passkeysPerNetwork = throttle.Limit{Every: time.Second, Burst: 120}
	// perLink bounds what one link has us hash and verify: a few mistakes are for free.
	perLink = throttle.Limit{Every: 10 * time.Second, Burst: 20}
)

// Throttle limits how often something with a key may be done, on all nodes together.
type Throttle interface {
	Allow(ctx context.Context, key string, limit throttle.Limit) (ok bool, retryAfter time.Duration)
}

func tooMany(code, detail string, wait time.Duration) error {
	f := fault.New(fault.TooMany, code, detail)
	f.RetryAfter = wait
	return f
}

// allowPassword refuses one password more than may be looked at now: of a browser
// that knows the person, by its own count, and of all others by those of strangers.
// Who is refused for their network takes nothing of what others have.
func (s *Service) allowPassword(r *http.Request, address string, a *account, known bool) error {
	ctx, req := r.Context(), httpkit.RequestFrom(r.Context())
	tenant := string(req.Tenant)
	var ok bool
	var wait time.Duration
	if known {
		browser, _ := httpkit.ReadCookie(r, httpkit.DeviceCookie)
		sum := sha256.Sum256([]byte(browser))
		ok, wait = s.throttle.Allow(ctx, "password browser "+tenant+" "+string(a.user)+" "+base64.RawURLEncoding.EncodeToString(sum[:]), perBrowser)
	} else {
		ok, wait = s.throttle.Allow(ctx, "password network "+httpkit.ClientNetwork(req.ClientIP).String(), perNetwork)
		if ok {
			ok, wait = s.allowStranger(ctx, "password account "+tenant+" "+address, perAccount)
		}
		if ok {
			ok, wait = s.allowStranger(ctx, "password tenant "+tenant, perTenant)
		}
	}
	if !ok {
		return tooMany("too-many-passwords", "Too many passwords were tried. Wait a while and try again, sign in with a passkey, or use a browser in which you have signed in before.", wait)
	}
	return nil
}

// allowStranger counts a password by what all strangers have, and when that is used
// up, by what is left to the site that it comes from.
func (s *Service) allowStranger(ctx context.Context, key string, all throttle.Limit) (bool, time.Duration) {
	if ok, _ := s.throttle.Allow(ctx, key, all); ok {
		return true, 0
	}
	site := httpkit.ClientSite(httpkit.RequestFrom(ctx).ClientIP).String()
	if ok, wait := s.throttle.Allow(ctx, key+" site "+site, perSite); !ok {
		return false, wait
	}
	return s.throttle.Allow(ctx, key+" crowd", perCrowd)
}

// allowPasskey is the same for passkeys.
func (s *Service) allowPasskey(ctx context.Context) error {
	network := httpkit.ClientNetwork(httpkit.RequestFrom(ctx).ClientIP).String()
	if ok, wait := s.throttle.Allow(ctx, "passkey network "+network, passkeysPerNetwork); !ok {
		return tooMany("too-many-passkeys", "Too many passkeys were tried from your network. Wait a moment and try again.", wait)
	}
	return nil
}

// allowLink is the same for what is set up by one link.
func (s *Service) allowLink(ctx context.Context, token string) error {
	key := "invitation " + string(httpkit.RequestFrom(ctx).Tenant) + " " + base64.RawURLEncoding.EncodeToString(inviteHash(token))
	if ok, wait := s.throttle.Allow(ctx, key, perLink); !ok {
		return tooMany("too-many-tries", "This was tried too often. Wait a moment and try again.", wait)
	}
	return nil
}
