package authn_test

import (
	"context"
	"errors"
	"fmt"
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
		known := func(want int, wantErr error) {
			t.Helper()
			if got, err := providers.Of(t.Context(), acme, tenants.Connection{ID: "con_1"}); got != want || !errors.Is(err, wantErr) {
				t.Errorf("got %d, %v, want %d, %v", got, err, want, wantErr)
			}
		}
		known(1, nil)
		time.Sleep(15*time.Minute - 1)
		known(1, nil)
		time.Sleep(1)
		known(2, nil)
		at.away = errors.New("away")
		time.Sleep(24*time.Hour - 1)
		known(2, nil)
		time.Sleep(1)
		known(0, at.away)
		at.away = nil
		known(3, nil)
	})
}

func TestProvidersAreKeptApartAndBounded(t *testing.T) {
	at := &atProvider{}
	providers := authn.NewProviders(time.Now, at.fetch)
	ask := func(tenant identity.TenantID, id identity.ConnectionID, version uint64) int {
		got, err := providers.Of(t.Context(), tenant, tenants.Connection{ID: id, Version: version})
		check(t, err)
		return got
	}
	for range 2 { // known the second time
		if a, b, c, d := ask("ten_a", "con_1", 1), ask("ten_b", "con_1", 1), ask("ten_a", "con_2", 1), ask("ten_a", "con_1", 2); a != 1 || b != 2 || c != 3 || d != 4 {
			t.Errorf("%d %d %d %d", a, b, c, d)
		}
	}
	for range 2 {
		for i := range 513 {
			ask("ten_a", identity.ConnectionID(fmt.Sprint("con_", i)), 3)
		}
	}
	if at.fetched <= 4+513 {
		t.Error("everything is kept")
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
		ask := func(ctx context.Context, told chan<- error) {
			_, err := providers.Of(ctx, acme, tenants.Connection{})
			told <- err
		}
		told := make(chan error)
		first, leave := context.WithCancel(t.Context())
		go ask(first, told)
		synctest.Wait()
		for range 9 {
			go ask(t.Context(), told)
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(answer)
		for range 10 {
			check(t, <-told)
		}
		if fetches != 1 {
			t.Errorf("%d fetches", fetches)
		}

		// A provider that never answers keeps nobody for ever.
		answer = nil
		go func() {
			_, err := providers.Of(t.Context(), "ten_b", tenants.Connection{})
			told <- err
		}()
		if err := <-told; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
