package machine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/machines"
)

// from is a request that came from an address.
func from(ctx context.Context, ip string) context.Context {
	return httpkit.WithRequest(ctx, &httpkit.Request{ClientIP: netip.MustParseAddr(ip)})
}

// desk is an authorization server that answers when it is told to.
type desk struct {
	t *testing.T
	v *Verifier

	mu    sync.Mutex
	asked []string // about which tokens, one after the other
	open  map[string]chan string
	most  int // how many were open at once
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, open: map[string]chan string{}}
	k := &kept{all: []machines.Machine{{ID: "svc_billing", Name: "billing", Role: "viewer", Enabled: true, Version: 1, Credentials: []machines.Credential{
		{Introspection: &machines.Introspection{Endpoint: "https://as.example/introspect", AuthClientID: "gate", AuthClientSecret: "s", Claims: machines.Claims{Audience: "app", ClientID: "billing"}}}}}}}
	d.v = New(Config{Services: k, Connections: k, Client: &http.Client{Transport: d}})
	t.Cleanup(d.v.Close)
	return d
}

// RoundTrip implements [http.RoundTripper].
func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	token, answer := r.PostFormValue("token"), make(chan string, 1)
	d.mu.Lock()
	d.asked = append(d.asked, token)
	d.open[token] = answer
	d.most = max(d.most, len(d.open))
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, token)
	}()
	select {
	case said := <-answer:
		if said == "panic" {
			panic("a library's")
		}
		return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(said))}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

const (
	good = `{"active":true,"aud":"app","client_id":"billing"}`
	bad  = `{"active":false}`
)

// shows has somebody show a token, and gives what comes of it.
func (d *desk) shows(ip, token string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := d.v.Bearer(from(context.Background(), ip), acme, token, nil)
		done <- err
	}()
	synctest.Wait()
	return done
}

// answers has the server say this of a token that it is asked about.
func (d *desk) answers(token, said string) {
	d.t.Helper()
	d.mu.Lock()
	answer, ok := d.open[token]
	d.mu.Unlock()
	if !ok {
		d.t.Fatalf("it is not asked about %s, but about %v", token, d.underWay())
	}
	answer <- said
	synctest.Wait()
}

func (d *desk) underWay() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []string{}
	for token := range d.open {
		all = append(all, token)
	}
	slices.Sort(all)
	return all
}

// floods has so many networks show ten tokens each.
func (d *desk) floods(networks int) {
	for n := range networks {
		for i := range 10 {
			d.shows(fmt.Sprintf("198.51.100.%d", n), fmt.Sprintf("flood-%d-%d", n, i))
		}
	}
}

// rests lets time pass until nobody waits any more, and everything was given back.
func (d *desk) rests() {
	d.t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	w := d.v.waiting
	if len(w.regular.lines)+len(w.atHome.lines)+len(w.other.lines)+len(w.networks.lines) > 0 {
		d.t.Errorf("places are kept: %v %v %v", w.regular.lines, w.other.lines, w.networks.lines)
	}
}

// A token that was good has a place that nobody's others take, whatever becomes of the
// services, until its server takes it back.
func TestRegularTokensHavePlacesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		first := d.shows("192.0.2.1", "mine")
		d.answers("mine", good)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		again := func(said string, strangers int) error {
			t.Helper()
			d.rests()
			d.floods(5)
			if n := len(d.underWay()); n != strangers {
				t.Fatalf("%d strangers' are asked about", n)
			}
			mine := d.shows("198.51.100.1", "mine") // of a network that has used its share
			d.answers("mine", said)
			return <-mine
		}
		if err := again(good, maxOther); err != nil {
			t.Error(err)
		}
		d.v.RefreshAll()
		if err := again(good, maxOther+maxOfNetwork); err != nil { // of the network that is at home by now
			t.Errorf("after the services were read anew: %v", err)
		}
		if err := again(bad, maxOther+maxOfNetwork); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("taken back: %v", err)
		}
		if len(d.v.waiting.regulars.of) > 0 {
			t.Error("a token that was taken back is a regular still")
		}
		d.rests()
		d.floods(5)
		mine := d.shows("203.0.113.1", "mine")
		if slices.Contains(d.underWay(), "mine") {
			t.Error("a token that was taken back has a place of its own still")
		}
		if err := <-mine; !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		d.rests()
	})
}

// Regulars share their places, and wait for them as others do.
func TestRegularTokensAreBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		for i := range maxRegular + 1 {
			shown := d.shows("192.0.2.1", fmt.Sprint("mine-", i))
			d.answers(fmt.Sprint("mine-", i), good)
			if err := <-shown; err != nil {
				t.Fatal(err)
			}
		}
		d.rests()
		var last <-chan error
		for i := range maxRegular + 1 {
			last = d.shows("192.0.2.1", fmt.Sprint("mine-", i))
		}
		if n := len(d.underWay()); n != maxRegular {
			t.Errorf("%d are asked about", n)
		}
		d.answers("mine-0", good)
		d.answers(fmt.Sprint("mine-", maxRegular), good)
		if err := <-last; err != nil {
			t.Error(err)
		}
		d.rests()
	})
}

// One network has its share and no more, so a new token from elsewhere is asked about
// at once; of its own the first that came is the next.
func TestANetworkHasItsShare(t *testing.T) {
	for name, addresses := range map[string][]string{
		"one address": {"198.51.100.7"},
		"a /64":       {"2001:db8::1", "2001:db8::2", "2001:db8::3:4:5:6"},
		"a /48":       {"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				var shown []<-chan error
				for i := range 10 {
					shown = append(shown, d.shows(addresses[i%len(addresses)], fmt.Sprint("flood-", i)))
				}
				if now := fmt.Sprint(d.underWay()); now != "[flood-0 flood-1 flood-2 flood-3]" {
					t.Errorf("asked about %s", now)
				}
				fresh := d.shows("2001:db8:1::1", "fresh")
				d.answers("fresh", good)
				if err := <-fresh; err != nil {
					t.Error(err)
				}
				for i := range shown {
					d.answers(fmt.Sprint("flood-", i), bad)
					if err := <-shown[i]; !fault.Is(err, fault.Unauthenticated) {
						t.Error(err)
					}
				}
				want := "[flood-0 flood-1 flood-2 flood-3 fresh flood-4 flood-5 flood-6 flood-7 flood-8 flood-9]"
				if fmt.Sprint(d.asked) != want {
					t.Errorf("asked about %s", d.asked)
				}
				d.rests()
			})
		})
	}
}

// Whoever finds no place waits for it, within the time that an answer may take; what
// the server did not answer, and what a panic ended, has none.
func TestPlacesAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		began := time.Now()
		var shown []<-chan error
		for i := range maxOfNetwork + maxWaiting + 1 {
			shown = append(shown, d.shows("198.51.100.7", fmt.Sprint("flood-", i)))
		}
		took := func(i int) time.Duration {
			t.Helper()
			if err := <-shown[i]; !fault.Is(err, fault.Unavailable) {
				t.Errorf("%d: %v", i, err)
			}
			return time.Since(began)
		}
		if d := took(maxOfNetwork + maxWaiting); d != 0 {
			t.Errorf("who finds too many waiting waits for %v", d)
		}
		if d := took(maxOfNetwork); d != placeTime {
			t.Errorf("who finds no place waits for %v", d)
		}
		if d := took(0); d != introspectTime {
			t.Errorf("who has one waits for %v", d)
		}
		d.rests()
		if n := len(d.asked); n != maxOfNetwork {
			t.Errorf("asked about %d", n)
		}
		// Who waited for a part of the time has the rest of it for the answer.
		began = time.Now()
		for i := range maxOfNetwork {
			d.shows("198.51.100.7", fmt.Sprint("slow-", i))
		}
		late := d.shows("198.51.100.7", "late")
		time.Sleep(placeTime / 2)
		d.answers("slow-0", bad)
		if err := <-late; !fault.Is(err, fault.Unavailable) || time.Since(began) != introspectTime {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if !slices.Contains(d.asked, "late") {
			t.Error("who had waited was not asked about")
		}
		d.rests()
		for i := range 2 * maxOther {
			ended := d.shows(fmt.Sprintf("198.51.100.%d", i/2), fmt.Sprint("panic-", i))
			d.answers(fmt.Sprint("panic-", i), "panic")
			if err := <-ended; !fault.Is(err, fault.Unavailable) {
				t.Error(err)
			}
		}
		d.rests()
		if d.most > maxOther {
			t.Errorf("%d were asked about at once", d.most)
		}
	})
}

// Many who show the same token take one place, and who leaves before the answer does
// not end it for the others.
func TestOneTokenTakesOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		ctx, leave := context.WithCancel(from(t.Context(), "192.0.2.1"))
		left := make(chan error, 1)
		go func() {
			_, err := d.v.Bearer(ctx, acme, "same", nil)
			left <- err
		}()
		synctest.Wait()
		var shown []<-chan error
		for i := range 20 {
			shown = append(shown, d.shows(fmt.Sprintf("192.0.2.%d", i), "same"))
		}
		leave()
		if err := <-left; err == nil {
			t.Error("no error")
		}
		if n := len(d.v.waiting.networks.lines); n != 1 {
			t.Errorf("%d networks have a place", n)
		}
		d.answers("same", good)
		for _, done := range shown {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if len(d.asked) != 1 {
			t.Errorf("asked about %v", d.asked)
		}
		d.rests()
	})
}

// What is known of regulars is bounded, by tenants, tokens and time.
func TestRegularsAreBounded(t *testing.T) {
	v := newVerifier(t, &kept{})
	r, now := &v.waiting.regulars, time.Now()
	for i := range maxRemembered + 10 {
		r.add(acme, tokenKey(fmt.Sprint(i)), now)
	}
	if n := len(r.of[acme].kept); n != maxRemembered {
		t.Errorf("%d of one tenant", n)
	}
	key := tokenKey("mine")
	r.add(acme, key, now)
	if !r.has(acme, key, now.Add(regularFor-1)) || r.has(acme, key, now.Add(regularFor)) || r.has("ten_globex", key, now) {
		t.Error("regular for too long, not long enough, or everywhere")
	}
	if v.Forget(acme); r.has(acme, key, now) {
		t.Error("a tenant that is deleted has regulars")
	}
	for i := range maxTenants + 10 {
		r.add(identity.TenantID(fmt.Sprint("ten_", i)), key, now)
	}
	if n := len(r.of); n != maxTenants {
		t.Errorf("of %d tenants", n)
	}
}

// Where a service came from lately it comes with a new token, whatever strangers show
// elsewhere, until it has been away for an hour; who shows theirs there as well has what
// a network has.
func TestANewTokenIsAtHomeWhereOthersWereGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		shown := d.shows("2001:db8:1:1::1", "first")
		d.answers("first", good)
		if err := <-shown; err != nil {
			t.Fatal(err)
		}
		d.rests()
		d.floods(20)
		next := d.shows("2001:db8:1:2::7", "next") // of the same site
		d.answers("next", good)
		if err := <-next; err != nil {
			t.Error(err)
		}
		stranger := d.shows("2001:db8:2::1", "stranger")
		if slices.Contains(d.underWay(), "stranger") {
			t.Error("a site of which nothing is known is at home")
		}
		if err := <-stranger; !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		d.rests()
		for i := range 10 {
			d.shows("2001:db8:1:3::1", fmt.Sprint("guest-", i))
		}
		if n := len(d.underWay()); n != maxOfNetwork {
			t.Errorf("%d of one site are asked about", n)
		}
		d.rests()
		time.Sleep(regularFor)
		d.floods(5)
		late := d.shows("2001:db8:1:2::7", "late")
		if slices.Contains(d.underWay(), "late") {
			t.Error("at home after more than an hour")
		}
		if err := <-late; !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		d.rests()
		if d.v.Forget(acme); len(d.v.waiting.homes.of) != 0 {
			t.Error("a tenant that is deleted has homes")
		}
	})
}
