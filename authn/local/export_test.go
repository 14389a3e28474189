package local

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/throttle"
)

// Hashes is how many hashes the room has computed.
func (s *Service) Hashes() int64 { return s.hasher.made.Load() }

// The limits of passwords.
var (
	PerNetwork = perNetwork
	PerAccount = perAccount
	PerTenant  = perTenant
	PerBrowser = perBrowser
	PerSite    = perSite
	PerCrowd   = perCrowd
	PerLink    = perLink

	PasskeysPerNetwork = passkeysPerNetwork
)

// Limits are those of passwords, on a node by itself.
type Limits struct{ *Service }

// NewLimits makes some.
func NewLimits() Limits {
	return Limits{&Service{throttle: throttle.New(nil, "", slog.New(slog.DiscardHandler))}}
}

// Stranger counts a password from a browser that nobody knows.
func (l Limits) Stranger(ip netip.Addr, address string) error {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r = r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{Tenant: "ten_acme", ClientIP: ip}))
	return l.allowPassword(r, address, nil, false)
}

// ReadHash reads a hash, and gives it as it is written.
func ReadHash(text string) (string, error) {
	h, err := parseHash(text)
	return h.String(), err
}

// WriteHash hashes a password.
func WriteHash(password string, c Cost) string { return newHash(password, c).String() }

// Same reports whether a password is that of a hash.
func Same(text, password string) bool {
	h, err := parseHash(text)
	return err == nil && h.is(password)
}

// The checks of what is entered.
var (
	CheckPassword = checkPassword
	IsToken       = isToken
	NewToken      = newToken
)

// Recommended is the cost that there is without another.
var Recommended = recommended

// Fill takes all slots of strangers, and gives them back.
func (s *Service) Fill() (free func()) {
	for range strangerSlots {
		s.hasher.strangers.taken <- struct{}{}
	}
	return func() {
		for range strangerSlots {
			<-s.hasher.strangers.taken
		}
	}
}

// Slots are places in which passwords are hashed.
type Slots struct{ slots }

// NewSlots makes some.
func NewSlots(n int) *Slots {
	s := new(Slots)
	s.make(n)
	return s
}

// Take waits for one.
func (s *Slots) Take(ctx context.Context, tenant identity.TenantID) (free func(), err error) {
	return s.take(ctx, tenant)
}

// MaxOfTenant is how many one tenant has, waiting included.
const MaxOfTenant = maxOfTenant
