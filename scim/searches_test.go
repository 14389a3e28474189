package scim

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/scim/resource"
)

func TestSearchesThroughEverybodyWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s searches
		begin := func(tenant identity.TenantID) func() {
			t.Helper()
			end, err := s.begin(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			return end
		}
		first, second := begin("acme"), begin("acme")
		began := time.Now()
		_, err := s.begin(t.Context(), "acme")
		if f := fault.As(err); f.Kind != fault.TooMany || f.RetryAfter == 0 || time.Since(began) != searchWait {
			t.Errorf("a third one is refused with %v after %v", err, time.Since(began))
		}
		begin("globex")() // is kept waiting by nobody
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.begin(ctx, "acme"); !errors.Is(err, context.Canceled) {
			t.Errorf("who is gone gets %v", err)
		}
		results := make(chan error, maxWaiting)
		for range maxWaiting {
			go func() {
				end, err := s.begin(t.Context(), "acme")
				if err == nil {
					end()
				}
				results <- err
			}()
		}
		synctest.Wait()
		began = time.Now()
		if _, err := s.begin(t.Context(), "acme"); !fault.Is(err, fault.TooMany) || time.Since(began) != 0 {
			t.Errorf("one more than may wait is refused with %v after %v", err, time.Since(began))
		}
		first()
		for range maxWaiting {
			if err := <-results; err != nil {
				t.Errorf("who has waited gets %v", err)
			}
		}
		second()
		if len(s.turns) != 0 {
			t.Errorf("%d tenants are remembered", len(s.turns))
		}
	})
}

// What clients ask for again and again waits for nobody.
func TestFiltersThatIndexesServe(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, `userName eq "a"`: true, `externalId eq "a"`: true, `id eq "a"`: true, `displayName eq "a"`: true, `emails eq "a@b.example"`: true, `emails[type eq "work" and value eq "a@b.example"]`: true,
		`emails[type eq "work"].value eq "a@b.example"`: true, `groups.value eq "a"`: true, `userName eq "a" and title co "x"`: true, `meta.lastModified gt "2024-01-01T00:00:00Z"`: true, `userName sw "a"`: true,
		`title eq "a"`: false, `userName co "a"`: false, `not (userName eq "a")`: false, `userName eq "a" or title eq "a"`: false, `emails co "a"`: false, `userName ne "a"`: false, `name.familyName eq "a"`: false, `active eq true`: false,
		`urn:acme:2.0:User:floor eq 1`: false,
	} {
		kinds := extend(fuzzSchemas)
		l := &listing{kinds: []*resource.Kind{kinds.User}, base: "https://acme.example/scim/v2"}
		filters, err := l.filters(text)
		if err != nil {
			t.Fatal(err)
		}
		if q := (directory.Query{Users: &directory.Part{Filter: filters[kinds.User]}}); q.Served() != want {
			t.Errorf("%q is served: %v", text, !want)
		}
	}
}
