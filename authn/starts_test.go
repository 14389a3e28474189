package authn

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

func from(t *testing.T, tenant identity.TenantID, ip string) context.Context {
	t.Helper()
	return httpkit.WithRequest(t.Context(), &httpkit.Request{Tenant: tenant, ClientIP: netip.MustParseAddr(ip)})
}

// One network is held down, whatever it calls itself and whichever tenant it is at,
// and no other feels it.
func TestStartsOfOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStarts(Config{StartsPerSecond: 1, StartBurst: 3})
		for i, ip := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
			if err := s.allow(from(t, identity.TenantID("ten_"+strconv.Itoa(i)), ip)); err != nil {
				t.Error(err)
			}
		}
		f, ok := errors.AsType[*fault.Fault](s.allow(from(t, "ten_x", "2001:db8::4")))
		if !ok || f.Kind != fault.TooMany || f.RetryAfter != time.Second {
			t.Errorf("%+v", f)
		}
		if err := s.allow(from(t, "ten_x", "2001:db8:0:1::4")); err != nil {
			t.Errorf("another network: %v", err)
		}
		time.Sleep(f.RetryAfter)
		if err := s.allow(from(t, "ten_x", "2001:db8::4")); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

// Whoever has a site of IPv6 has 65,536 networks, and no more than five of them may
// do, wherever their tenant stands.
func TestStartsOfOneSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStarts(Config{StartsPerSecond: 1, StartBurst: 3, TenantStartsPerSecond: 1, TenantStartBurst: 5})
		begun := func(site string) (n int) {
			for i := range 1000 {
				if err := s.allow(from(t, "ten_acme", "2001:db8:"+site+":"+strconv.FormatInt(int64(i), 16)+"::1")); err == nil {
					n++
				}
			}
			return n
		}
		if n := begun("1"); n != 15 {
			t.Errorf("%d were begun, want those of five networks, 15", n)
		}
		if n := begun("2"); n != 15 {
			t.Errorf("%d were begun from another site while the tenant is crowded", n)
		}
		time.Sleep(100 * time.Second)
		crowd, before := 0, begun("3")
		for i := range 100 {
			time.Sleep(3 * time.Second)
			if err := s.allow(from(t, "ten_acme", "2001:db8:3:"+strconv.FormatInt(int64(1000+i), 16)+"::1")); err == nil {
				crowd++
			}
		}
		if before != 15 || crowd != 100 {
			t.Errorf("%d, then %d of 100", before, crowd)
		}
	})
}

// A thousand networks that begin ten thousand sign-ins at a tenant are held down, and
// the person from elsewhere gets in all the same, as do those of other tenants.
func TestAFloodAtATenantKeepsNobodyElseOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStarts(Config{TenantStartsPerSecond: 10, TenantStartBurst: 100})
		begun, refused := 0, 0
		for second := range 30 {
			for network := range 1000 {
				ctx := from(t, "ten_acme", netip.AddrFrom4([4]byte{198, 51, byte(network / 250), byte(network % 250)}).String())
				switch err := s.allow(ctx); {
				case err == nil:
					begun++
				case fault.Is(err, fault.TooMany):
					refused++
				default:
					t.Fatal(err)
				}
			}
			for range 3 {
				if err := s.allow(from(t, "ten_globex", "203.0.113."+strconv.Itoa(second))); err != nil {
					t.Errorf("at another tenant: %v", err)
				}
			}
			time.Sleep(time.Second)
		}
		// 100 and 10 a second of the tenant's, and of each network 10 and one in 5 s.
		if most := 100 + 10*30 + 1000*(10+6); begun > most || refused == 0 || begun+refused != 30_000 {
			t.Errorf("%d begun, %d refused", begun, refused)
		}
		for range 5 {
			if err := s.allow(from(t, "ten_acme", "192.0.2.77")); err != nil {
				t.Errorf("the person from elsewhere: %v", err)
			}
		}
		time.Sleep(time.Minute)
		for range 50 {
			if err := s.allow(from(t, "ten_acme", "192.0.2.77")); err != nil {
				t.Fatalf("once it is over: %v", err)
			}
		}
	})
}
