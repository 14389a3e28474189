package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
)

// pages is a journal that can be taken away.
type pages struct {
	*audit.Journal

	away atomic.Bool
}

func (p *pages) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	if p.away.Load() {
		return audit.Receipt{}, errors.New("the disk is full")
	}
	return p.Journal.Commit(ctx, e)
}

// told are the alerts in the platform's journal.
func (p *pages) told(t *testing.T) (all []string) {
	t.Helper()
	for e, err := range p.Read(t.Context(), platform, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(e.Type, " ", e.Reason, " ", e.Target.Name))
	}
	return all
}

type plainKeys struct{}

func (plainKeys) Derive(_ context.Context, _ identity.TenantID, _ string, size int) ([]byte, error) {
	return make([]byte, size), nil
}

// watched is a watcher of one condition, in a bubble of its own.
func watched(t *testing.T, of []subject, check func(t *testing.T, is *atomic.Bool, a *alerts, p *pages)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := audit.Open(audit.Options{Dir: dir, Node: "n1", Keys: plainKeys{}})
		must(t, err)
		defer func() { must(t, j.Close()) }()
		p, is := &pages{Journal: j}, &atomic.Bool{}
		a := newAlerts("n1", p, slog.New(slog.DiscardHandler))
		a.conditions = []condition{{reason: "redis-unreachable", level: warning, means: "It is away.", advice: "Bring it back.", of: func() []subject {
			if !is.Load() {
				return nil
			}
			return of
		}}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		check(t, is, a, p)
		stop()
		must(t, <-ended)
	})
}

const (
	raised  = "alert.raised redis-unreachable n1"
	cleared = "alert.cleared redis-unreachable n1"
)

func wantTold(t *testing.T, p *pages, want ...string) {
	t.Helper()
	if got := p.told(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the journal tells %q, not %q", got, want)
	}
}

func TestAnAlertIsToldOnceAndOnceThatItIsOver(t *testing.T) {
	watched(t, []subject{{}}, func(t *testing.T, is *atomic.Bool, a *alerts, p *pages) {
		time.Sleep(alertEvery / 2) // between two looks, or it may be before or after one
		is.Store(true)
		time.Sleep(raiseAfter)
		if len(a.open()) != 0 {
			t.Error("it is told of at once")
		}
		time.Sleep(2 * alertEvery)
		if all := a.open(); len(all) != 1 || all[0].event == "" || a.count("redis-unreachable") != 1 || fmt.Sprint(a.reasons()) != "[redis-unreachable]" {
			t.Errorf("open are %+v", all)
		}
		time.Sleep(time.Hour)
		wantTold(t, p, raised)
		is.Store(false)
		time.Sleep(clearAfter - alertEvery)
		if len(a.open()) != 1 {
			t.Error("it is over at once")
		}
		time.Sleep(3 * alertEvery)
		if len(a.open()) != 0 {
			t.Error("it is still open")
		}
		time.Sleep(time.Hour)
		wantTold(t, p, raised, cleared)
	})
}

// What comes and goes is one alert, and what was but for a moment is none.
func TestAnAlertDoesNotFlap(t *testing.T) {
	watched(t, []subject{{}}, func(t *testing.T, is *atomic.Bool, _ *alerts, p *pages) {
		is.Store(true)
		time.Sleep(alertEvery + alertEvery/2)
		is.Store(false)
		time.Sleep(time.Minute)
		wantTold(t, p)
		for range 200 {
			is.Store(!is.Load())
			time.Sleep(alertEvery)
		}
		is.Store(false)
		time.Sleep(2 * clearAfter)
		wantTold(t, p, raised, cleared)
	})
}

// An alert stands though the journal cannot be written, which learns of it later;
// of one that came and went meanwhile as well.
func TestP7_AnAlertStandsWithoutTheJournal(t *testing.T) {
	watched(t, []subject{{}}, func(t *testing.T, is *atomic.Bool, a *alerts, p *pages) {
		p.away.Store(true)
		is.Store(true)
		time.Sleep(time.Minute)
		if all := a.open(); len(all) != 1 || all[0].event != "" {
			t.Errorf("open are %+v", all)
		}
		is.Store(false)
		time.Sleep(time.Minute)
		if len(a.open()) != 0 {
			t.Error("it is still open")
		}
		p.away.Store(false)
		time.Sleep(time.Minute)
		wantTold(t, p, raised, cleared)
	})
}

// One condition is so of many: they are told of apart, and only so many.
func TestAlertsAreBounded(t *testing.T) {
	of := make([]subject, 2*maxAlerts)
	for i := range of {
		of[i] = subject{Tenant: identity.TenantID(fmt.Sprint("ten_", i)), Name: fmt.Sprint("t", i)}
	}
	watched(t, of, func(t *testing.T, is *atomic.Bool, a *alerts, p *pages) {
		is.Store(true)
		time.Sleep(time.Minute)
		if got := a.count("redis-unreachable"); got != maxAlerts {
			t.Errorf("%d are open", got)
		}
		is.Store(false)
		time.Sleep(time.Minute)
		if got := len(p.told(t)); got != 2*maxAlerts {
			t.Errorf("%d records", got)
		}
	})
}

func TestTheRosterHearsWhoFallsSilent(t *testing.T) {
	r := newRoster("b", "test", nil, slog.New(slog.DiscardHandler))
	now := time.Now()
	all := map[string]string{"a": `{"beat":1,"mode":"fresh"}`, "b": `{"beat":9}`, "c": `{"beat":1}`, "d": `not a note`}
	hear := func(after time.Duration) []string { now = now.Add(after); return r.hear(all, now) }
	hear(0)
	for i := range 10 {
		all["a"] = fmt.Sprintf(`{"beat":%d,"mode":"fresh"}`, i+2)
		hear(noteEvery)
	}
	names, others, _ := r.others()
	if fmt.Sprint(names) != "[a c]" || others["a"].quiet != 0 || others["a"].Mode != "fresh" || others["c"].quiet < silentAfter {
		t.Errorf("heard %+v", others)
	}
	// While nobody could be heard, nobody has fallen silent.
	hear(time.Hour)
	if _, others, _ := r.others(); others["a"].quiet >= silentAfter {
		t.Errorf("after a silence of Redis' own: %+v", others["a"])
	}
	delete(all, "a") // it has left
	var gone []string
	for range int(forgetSilent/noteEvery) + 10 {
		gone = hear(noteEvery)
	}
	if names, _, _ := r.others(); fmt.Sprint(names) != "[c]" || fmt.Sprint(gone) != "[c]" {
		t.Errorf("in the end %v, struck off %v", names, gone)
	}
}
