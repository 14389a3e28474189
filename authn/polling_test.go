package authn_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/signals"
	"gatehouse/authn/signals/transmittertest"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// fetching is the connection of an identity provider whose signals are fetched.
func fetching(idp *issuer, x *transmittertest.Transmitter) tenants.Connection {
	c := heeding(idp, x)
	c.Signals.Audience, c.Signals.Poll = "gatehouse", &tenants.SignalsPoll{Endpoint: x.URL + "/poll", Token: "poll token"}
	x.Expect("poll token")
	return c
}

// polling polls until the test ends or stop is called.
func (w *world) polling(change func(*signals.PollerConfig)) (stop func()) {
	w.t.Helper()
	c := signals.PollerConfig{Receiver: w.Service, Tenants: w.connections, Store: w.db, Client: w.egress, Log: slog.New(slog.DiscardHandler), Pause: time.Millisecond}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- signals.NewPoller(c).Run(ctx) }()
	over := false
	stop = func() {
		if over {
			return
		}
		over = true
		cancel()
		check(w.t, <-ended)
	}
	w.t.Cleanup(stop)
	return stop
}

// soon waits for what comes by itself.
func soon(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !holds() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s did not come", what)
		}
	}
}

// queue has a token wait to be fetched, and gives its id.
func queue(x *transmittertest.Transmitter, event string, about, subject set) string {
	token, id := x.Event("gatehouse", event, about, subject)
	x.Queue(id, x.Sign(token))
	return id
}

func told(x *transmittertest.Transmitter, id, what string) func() bool {
	return func() bool { return x.Told()[id] == what }
}

func TestP2_FetchedSignalsEndWhatTheyName(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(fetching(idp, x))
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	open := b.stream()
	w.polling(nil)

	good := queue(x, caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
	soon(t, "an acknowledgement", told(x, good, "ack"))
	if b.signedIn() || !open.cut.Load() {
		t.Error("acknowledged, and not ended")
	}
	if e := last(w.journal.all(audit.SessionsRevoked)); e.Reason != "session-revoked-at-provider" || e.Actor.Kind != identity.KindIDP {
		t.Errorf("recorded as %+v", e)
	}

	// What is not believed is said so, each by its code, and what is good beside it is
	// heeded; what was heeded before is acknowledged, and has no effect.
	b.open("/").has(t, http.StatusOK)
	token, wrongAudience := x.Event("another", caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
	x.Queue(wrongAudience, x.Sign(token))
	token, _ = x.Event("gatehouse", caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
	x.Queue("another id", x.Sign(token))
	x.Queue("no token", "x.y")
	verification := queue(x, ssf+"verification", set{"state": "agreed"}, opaque("stream"))
	for id, want := range map[string]string{wrongAudience: "invalid_audience", "another id": "invalid_request", "no token": "invalid_request", verification: "ack"} {
		soon(t, want, told(x, id, want))
	}
	if !b.signedIn() || last(w.journal.all(audit.SignalReceived)).Details["state"] != "agreed" || len(w.journal.all(audit.SignalRefused)) != 3 {
		t.Errorf("signed in %t, refused %+v", b.signedIn(), w.journal.all(audit.SignalRefused))
	}

	var ids []string
	for range 40 {
		ids = append(ids, queue(x, ssf+"verification", nil, opaque("stream")))
	}
	for _, id := range ids {
		soon(t, "all of them", told(x, id, "ack"))
	}
	polls, most := x.Polls()
	if most != 1 || !slices.ContainsFunc(polls, func(p transmittertest.Poll) bool { return len(p.Ack) > 1 && len(p.Ack) <= 15 }) {
		t.Errorf("%d at once; %+v", most, polls)
	}
	if p := polls[0]; p.ReturnImmediately || p.MaxEvents == nil || *p.MaxEvents != 15 {
		t.Errorf("%+v", p)
	}
}

// stumbling panics over one token for as long as it is told to.
type stumbling struct {
	signals.Receiver

	over string
	does atomic.Bool
}

func (s *stumbling) Heed(ctx context.Context, tenant identity.TenantID, c tenants.Connection, d authn.Delivery, token string) error {
	if d.ID == s.over && s.does.Load() {
		panic("over " + d.ID)
	}
	return s.Receiver.Heed(ctx, tenant, c, d, token)
}

// What panics over one token holds up none of those that come with it or after it; it
// comes again, and may be heeded then.
func TestP2_ASignalThatPanicsHoldsUpNoOther(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(fetching(idp, x))
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	token, _ := x.Event("gatehouse", caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
	receiver := &stumbling{Receiver: w.Service, over: "0 before all others"}
	receiver.does.Store(true)
	x.Queue(receiver.over, x.Sign(token))
	with := queue(x, ssf+"verification", nil, opaque("stream"))
	w.polling(func(c *signals.PollerConfig) { c.Receiver = receiver })
	soon(t, "what came with it", told(x, with, "ack"))
	behind := queue(x, caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
	soon(t, "what is behind it", told(x, behind, "ack"))
	if b.signedIn() {
		t.Error("acknowledged, and not ended")
	}
	if got := x.Told()[receiver.over]; got != "" {
		t.Errorf("told %q of what was not heeded", got)
	}
	receiver.does.Store(false)
	soon(t, "what becomes of it", told(x, receiver.over, "invalid_request")) // which has another id
}

func TestASignalThatCannotBeHeededComesAgain(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(fetching(idp, x))
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	w.journal.fail(errors.New("disk full"))
	w.polling(nil)
	id := queue(x, caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
	soon(t, "one more poll", func() bool { all, _ := x.Polls(); return len(all) > 3 })
	if len(x.Told()) != 0 || !b.signedIn() {
		t.Fatalf("told %v without a journal", x.Told())
	}
	w.journal.mend()
	soon(t, "an acknowledgement", told(x, id, "ack"))
	if b.signedIn() {
		t.Error("still signed in")
	}
}

// Whatever a transmitter answers, nothing ends by it, the journal says so, and
// when it is as it should be again, its signals are.
func TestATransmittersFaultsAreOutlived(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   authn.Reason
	}{
		"broken":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, authn.ProviderUnreachable},
		"not for us": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, authn.ProviderUnreachable},
		"cut off":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, authn.ProviderUnreachable},
		"inside": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://10.0.0.1/poll", http.StatusTemporaryRedirect)
		}, authn.ProviderUnreachable},
		"not JSON":        {text("<html>"), authn.ProviderUnreachable},
		"sets of numbers": {text(`{"sets":{"a":1}}`), authn.ProviderUnreachable},
		"a list of sets":  {text(`{"sets":["a"]}`), authn.ProviderUnreachable},
		"a set twice":     {text(`{"sets":{"a":"x","a":"y"}}`), authn.ProviderUnreachable},
		"deep":            {text(`{"sets":` + strings.Repeat(`{"a":`, 90_000) + strings.Repeat("}", 90_001)), authn.ProviderUnreachable},
		"too large":       {text(`{"sets":{"a":"` + strings.Repeat("x", 2<<20) + `"}}`), authn.TooLarge},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1024))); err != nil {
					return
				}
			}
		}, authn.TooLarge},
		"never": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, authn.ProviderUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
			w.connections.put(fetching(idp, x))
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			x.Instead(c.answer)
			id := queue(x, caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
			w.polling(func(p *signals.PollerConfig) {
				impatient := *w.egress
				if name == "never" {
					impatient.Timeout = 300 * time.Millisecond
				}
				p.Client = &impatient
			})
			soon(t, "a record", func() bool { return len(w.journal.all(audit.SignalRefused)) > 0 })
			e := w.journal.all(audit.SignalRefused)[0]
			if authn.Reason(e.Reason) != c.want || e.Connection != "con_idp" || !b.signedIn() {
				t.Errorf("signed in %t, recorded as %+v", b.signedIn(), e)
			}
			before, _ := x.Polls()
			soon(t, "one more poll", func() bool { all, _ := x.Polls(); return len(all) > len(before)+1 })
			if all := w.journal.all(audit.SignalRefused); len(all) != 1 {
				t.Errorf("one outage has %d records", len(all))
			}
			x.Instead(nil)
			soon(t, "an acknowledgement", told(x, id, "ack"))
			if b.signedIn() {
				t.Error("still signed in")
			}
		})
	}
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// A transmitter that hands out more than it was asked for does not decide how
// much is done at once.
func TestMoreSignalsThanWereAskedFor(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(fetching(idp, x))
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf(`"%03d":"x.y"`, i))
	}
	x.Instead(text(`{"sets":{` + strings.Join(many, ",") + `},"moreAvailable":true}`))
	w.polling(nil)
	soon(t, "what became of them", func() bool { all, _ := x.Polls(); return len(all) > 2 })
	polls, _ := x.Polls()
	if n := len(polls[1].SetErrs); n != 15 {
		t.Errorf("%d were looked at in one turn", n)
	}
}

// flaky is a store that can be away.
type flaky struct {
	*store.DB
	away atomic.Bool
}

func (f *flaky) Tenant(id identity.TenantID) store.Tenant {
	if f.away.Load() {
		return store.Tenant{}
	}
	return f.DB.Tenant(id)
}

func waits(x *transmittertest.Transmitter) func() bool { return func() bool { return x.Waiting() > 0 } }
func rests(x *transmittertest.Transmitter) func() bool {
	return func() bool { return x.Waiting() == 0 }
}

// What is not to be polled any more is not waited for any longer, and what came
// meanwhile is not heeded.
func TestPollingEndsAtOnce(t *testing.T) {
	for name, do := range map[string]struct {
		end, again func(w *world, c tenants.Connection, db *flaky)
	}{
		"disabled": {func(w *world, c tenants.Connection, _ *flaky) { c.Enabled = false; w.connections.put(c) },
			func(w *world, c tenants.Connection, _ *flaky) { w.connections.put(c) }},
		"deleted": {func(w *world, c tenants.Connection, _ *flaky) { w.connections.remove(c.Name) },
			func(w *world, c tenants.Connection, _ *flaky) { w.connections.put(c) }},
		"suspended": {func(w *world, _ tenants.Connection, _ *flaky) { w.connections.setStatus(tenants.Suspended) },
			func(w *world, _ tenants.Connection, _ *flaky) { w.connections.setStatus(tenants.Active) }},
		"without the store": {func(_ *world, _ tenants.Connection, db *flaky) { db.away.Store(true) },
			func(_ *world, _ tenants.Connection, db *flaky) { db.away.Store(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
			c, db := fetching(idp, x), &flaky{DB: w.db}
			w.connections.put(c)
			w.polling(func(p *signals.PollerConfig) { p.Store, p.Lease = db, 4*time.Second })
			soon(t, "a poll", waits(x))
			do.end(w, c, db)
			soon(t, "the end of it", rests(x))
			before, _ := x.Polls()
			id := queue(x, ssf+"verification", nil, opaque("stream"))
			if all, _ := x.Polls(); len(all) != len(before) || len(x.Told()) != 0 {
				t.Errorf("%d polls more, told %v", len(all)-len(before), x.Told())
			}
			do.again(w, c, db)
			soon(t, "an acknowledgement", told(x, id, "ack"))
		})
	}
}

// Two nodes share a store: one of them polls, and when it leaves the other one
// does. One that has died is waited for no longer than its lease.
func TestOneNodePollsAConnectionAtATime(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(fetching(idp, x))
	first := w.polling(nil)
	soon(t, "a poll", waits(x))
	second := w.polling(nil)
	for range 3 {
		soon(t, "an acknowledgement", told(x, queue(x, ssf+"verification", nil, opaque("stream")), "ack"))
	}
	if _, most := x.Polls(); most != 1 {
		t.Errorf("%d polled at once", most)
	}
	first()
	for range 3 {
		soon(t, "an acknowledgement", told(x, queue(x, ssf+"verification", nil, opaque("stream")), "ack"))
	}
	second()

	check(t, w.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO signal_polls (connection_id, holder, beats) VALUES ('con_idp', 'dead', 7)`)
		return err
	}))
	began := time.Now()
	const lease = 2 * time.Second
	w.polling(func(p *signals.PollerConfig) { p.Lease = lease })
	soon(t, "an acknowledgement", told(x, queue(x, ssf+"verification", nil, opaque("stream")), "ack"))
	if waited := time.Since(began); waited < lease {
		t.Errorf("taken over after %v, while it might have lived", waited)
	}
}
