package authn_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// atProvider is a provider whose settings are as many as were fetched.
type atProvider struct {
	fetched int
	away    error
}

func (a *atProvider) fetch(context.Context, tenants.Connection) (int, error) {
	if a.away != nil {
		return 0, a.away
	}
	a.fetched++
	return a.fetched, nil
}

func TestProvidersAreFollowedAndOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &atProvider{}
		providers := authn.NewProviders(time.Now, at.fetch)
		defer providers.Close()
		known := func(want int, wantErr error) {
			t.Helper()
			if got, err := providers.Of(t.Context(), acme, tenants.Connection{ID: "con_1"}); got != want || !errors.Is(err, wantErr) {
				t.Errorf("got %d, %v, want %d, %v", got, err, want, wantErr)
			}
		}
		known(1, nil)
		time.Sleep(15*time.Minute - 1)
		known(1, nil)
		time.Sleep(time.Nanosecond)
		known(2, nil)
		at.away = errors.New("away")
		time.Sleep(24*time.Hour - 1)
		known(2, nil)
		time.Sleep(time.Nanosecond)
		known(0, at.away)
		away := at.away
		at.away = nil
		time.Sleep(10*time.Second - 2)
		known(0, away) // not asked again so soon
		time.Sleep(time.Nanosecond)
		known(3, nil)
	})
}

// A silent provider costs its own people a moment at most once they are known
// to it, and strangers its whole silence only now and then.
func TestP7_ASilentProviderKeepsFewWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, silent := 0, false
		providers := authn.NewProviders(time.Now, func(ctx context.Context, _ tenants.Connection) (string, error) {
			asked++
			if silent {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "known", nil
		})
		defer providers.Close()
		ask := func(c tenants.Connection, want string, wait time.Duration) {
			t.Helper()
			begin := time.Now()
			got, err := providers.Of(t.Context(), acme, c)
			if got != want || (want == "") != (err != nil) || time.Since(begin) != wait {
				t.Errorf("%q, %v after %v; want %q after %v", got, err, time.Since(begin), want, wait)
			}
		}
		old, fresh := tenants.Connection{ID: "con_old"}, tenants.Connection{ID: "con_new"}
		ask(old, "known", 0)
		time.Sleep(15 * time.Minute)
		silent = true
		ask(old, "known", time.Second)
		ask(old, "known", time.Second) // the fetch still goes on
		time.Sleep(13 * time.Second)
		synctest.Wait()
		ask(old, "known", 0) // it has failed
		ask(fresh, "", 15*time.Second)
		ask(fresh, "", 0)
		fresh.Version++ // as an admin mends it
		silent = false
		ask(fresh, "known", 0)
		if asked != 4 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// asking counts what is asked of every provider.
type asking map[string]int

func (a asking) fetch(_ context.Context, c tenants.Connection) (string, error) {
	of := fmt.Sprint(c.ID, " ", c.Version)
	a[of]++
	return of, nil
}

func TestProvidersAreKeptApartAndBounded(t *testing.T) {
	asked := asking{}
	clock := time.Now()
	providers := authn.NewProviders(func() time.Time { clock = clock.Add(time.Nanosecond); return clock }, asked.fetch)
	defer providers.Close()
	ask := func(tenant identity.TenantID, id string, version uint64) {
		t.Helper()
		c := tenants.Connection{ID: identity.ConnectionID(id), Version: version}
		if got, err := providers.Of(t.Context(), tenant, c); err != nil || got != fmt.Sprint(id, " ", version) {
			t.Errorf("%s %s %d: %q, %v", tenant, id, version, got, err)
		}
	}
	times := func(of string, want int) {
		t.Helper()
		if asked[of] != want {
			t.Errorf("%s was asked %d times, want %d", of, asked[of], want)
		}
	}
	for range 2 { // known the second time
		ask("ten_a", "con_1", 1)
		ask("ten_a", "con_2", 1)
		ask("ten_b", "con_1", 1)
	}
	times("con_1 1", 2)
	times("con_2 1", 1)
	ask("ten_a", "con_1", 2)
	ask("ten_a", "con_1", 1) // not kept beside the new one
	times("con_1 1", 3)

	// One tenant's many connections, in whatever versions, take nothing from
	// another's, and not all of them stay.
	for i := range 1000 {
		ask("ten_a", fmt.Sprint("con_", 3+i%200), uint64(i))
	}
	ask("ten_b", "con_1", 1)
	times("con_1 1", 3)
	clear(asked)
	for i := range 200 {
		ask("ten_a", fmt.Sprint("con_", 202-i), uint64(999-i))
	}
	if len(asked) != 100 {
		t.Errorf("%d of 200 are kept", 200-len(asked))
	}

	// Of all tenants' what was not used for longest goes.
	clear(asked)
	for round := range 2 {
		for i := range 8192 {
			ask(identity.TenantID(fmt.Sprint("ten_", i)), fmt.Sprint("con_of_", i), 1)
		}
		if round == 0 {
			clear(asked)
		}
	}
	if len(asked) != 0 {
		t.Errorf("%d of 8192 tenants' providers were asked again", len(asked))
	}
	clock = clock.Add(time.Minute)
	ask("ten_0", "con_of_0", 1)
	clock = clock.Add(time.Second)
	ask("ten_new", "con_new", 1)
	ask("ten_0", "con_of_0", 1)
	times("con_of_0 1", 0)
	clear(asked)
	ask("ten_c", "con_1", 1)
	providers.Forget("ten_c")
	ask("ten_c", "con_1", 1)
	times("con_1 1", 2)
}

// What is waited for is not given up for what comes after it.
func TestP7_ATenantsSilentProvidersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		providers := authn.NewProviders(time.Now, func(ctx context.Context, _ tenants.Connection) (string, error) {
			asked.Add(1)
			<-ctx.Done()
			return "", ctx.Err()
		})
		ask := func(ctx context.Context, tenant identity.TenantID, i int) error {
			_, err := providers.Of(ctx, tenant, tenants.Connection{ID: identity.ConnectionID(fmt.Sprint("con_", i))})
			return err
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		for i := range 16 {
			if err := ask(gone, "ten_a", i); !errors.Is(err, context.Canceled) {
				t.Errorf("somebody who left got %v", err)
			}
		}
		if _, refused := errors.AsType[*authn.Refusal](ask(t.Context(), "ten_a", 16)); !refused {
			t.Error("more is asked")
		}
		if err := ask(gone, "ten_b", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("another tenant got %v", err)
		}
		for i := range 200 {
			_ = ask(gone, identity.TenantID(fmt.Sprint("ten_", i/16)), i) // it hangs, or is too many: either is counted below
		}
		synctest.Wait()
		if n := asked.Load(); n != 217 {
			t.Errorf("%d were asked", n)
		}
		for i := range 2000 {
			_ = ask(gone, identity.TenantID(fmt.Sprint("more_", i)), i)
		}
		synctest.Wait()
		if n := asked.Load(); n != 1024 {
			t.Errorf("%d were asked at once", n)
		}
		providers.Close() // and nothing is left running
	})
}

func TestAProviderThatCannotBeReadIsAnError(t *testing.T) {
	providers := authn.NewProviders(time.Now, func(context.Context, tenants.Connection) (string, error) { panic("hostile") })
	defer providers.Close()
	if _, err := providers.Of(t.Context(), acme, tenants.Connection{}); err == nil {
		t.Error("no error")
	}
}

func TestP7_AFetchIsSharedAndDoesNotEndWithItsFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches, answer := 0, make(chan struct{})
		providers := authn.NewProviders(time.Now, func(ctx context.Context, _ tenants.Connection) (string, error) {
			fetches++
			select {
			case <-answer:
				return "known", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		defer providers.Close()
		ask := func(ctx context.Context, told chan<- error) {
			_, err := providers.Of(ctx, acme, tenants.Connection{})
			told <- err
		}
		told := make(chan error)
		first, leave := context.WithCancel(t.Context())
		go ask(first, told)
		synctest.Wait()
		others := make(chan error)
		for range 9 {
			go ask(t.Context(), others)
		}
		synctest.Wait()
		leave()
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		close(answer)
		for range 9 {
			check(t, <-others)
		}
		if fetches != 1 {
			t.Errorf("%d fetches", fetches)
		}

		// A provider that never answers keeps nobody for ever.
		answer = nil
		if _, err := providers.Of(t.Context(), "ten_b", tenants.Connection{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
