package scim

import (
	"context"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/throttle"
)

// bulkPerRequest is how many operations of a Bulk count as one request: they share the
// connection, the token and the waits for the disk.
const bulkPerRequest = 10

// Throttle limits how often something may be done, on all nodes together.
type Throttle interface {
	AllowN(ctx context.Context, key string, limit throttle.Limit, n int) (ok bool, retryAfter time.Duration)
}

// Rates are how many requests one token of a tenant may make, and all of them together.
type Rates func(tenant identity.TenantID) (token, all throttle.Limit)

// within refuses a request, or what counts as so many, of a token that makes more than
// its tenant's settings let one or all make. It is recorded as every refusal is, and
// floods of it as one.
func (s *Service) within(ctx context.Context, caller *identity.Principal, e audit.Event, requests int) error {
	if s.throttle == nil || requests == 0 || caller.Kind != identity.KindSCIMToken { // what is fetched from inside keeps its own pace
		return nil
	}
	token, all := s.rates(caller.Tenant)
	for _, one := range []struct {
		who, key string
		limit    throttle.Limit
	}{
		{"This token makes", caller.ID, token},
		{"The tokens of this tenant together make", "", all},
	} {
		if one.limit.Burst == 0 {
			continue
		}
		// A key has one limit: another setting begins anew.
		key := fmt.Sprint("scim ", caller.Tenant, " ", one.key, " ", one.limit)
		if ok, wait := s.throttle.AllowN(ctx, key, one.limit, requests); !ok {
			return s.guard.Refuse(ctx, e, &fault.Fault{Kind: fault.TooMany, Code: audit.RateLimited, RetryAfter: wait,
				Detail: one.who + " more requests than scim.rate in the settings allows. Try again when Retry-After has passed."})
		}
	}
	return nil
}
