package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
)

const (
	// alertEvery is how often the conditions are looked at.
	alertEvery = time.Second
	// raiseAfter is how long one has to be so, now or again, before anybody is told,
	// and clearAfter how long it must not have been so before it counts as over.
	// What comes and goes is thus one alert, and told of at most so often.
	raiseAfter = 3 * time.Second
	clearAfter = 15 * time.Second
	// maxAlerts bounds the alerts of one condition, which may be so of many tenants.
	maxAlerts = 100
	// recordTime bounds writing one into the journal.
	recordTime = 5 * time.Second
)

// subject is what a condition is so of, where that is not the gateway.
type subject struct {
	Tenant identity.TenantID
	Node   string
	Name   string // for people
	detail string // a sentence: what exactly; empty: the condition says it all
}

// whole is what it means, in this case.
func (a *alert) whole() string {
	if a.detail == "" {
		return a.means
	}
	return a.means + " " + a.detail
}

// alert is a condition that is so, or was until a moment ago.
type alert struct {
	*condition
	subject

	since  time.Time // it was first so
	last   time.Time // it was last so
	raised bool
	over   bool // it has been raised, and is not so any more
	event  identity.EventID
}

// alerts watches for what whoever runs the gateway must know, and records each
// change once in the platform's journal. While that cannot be written the alert is
// in the log, the metrics and readiness all the same, and is recorded later.
type alerts struct {
	node       string
	journal    audit.Recorder
	log        *slog.Logger
	conditions []condition

	mu    sync.Mutex
	known map[string]map[subject]*alert // by reason
	mute  bool                          // the journal did not take the last record
}

func newAlerts(node string, journal audit.Recorder, log *slog.Logger) *alerts {
	return &alerts{node: node, journal: journal, log: log, known: map[string]map[subject]*alert{}}
}

// Run looks at the conditions until ctx ends.
func (a *alerts) Run(ctx context.Context) error {
	every(ctx, alertEvery, a.look)
	return nil
}

// look finds what is so now, and tells what has changed.
func (a *alerts) look(ctx context.Context) {
	now := time.Now()
	for i := range a.conditions {
		c := &a.conditions[i]
		a.note(ctx, c, c.subjects(), now)
	}
	for _, change := range a.unrecorded() {
		if ctx.Err() != nil || !a.record(ctx, change) {
			return // again with the next look
		}
	}
}

// note takes down of whom a condition is so.
func (a *alerts) note(ctx context.Context, c *condition, of []subject, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[c.reason]
	if known == nil {
		known = map[subject]*alert{}
		a.known[c.reason] = known
	}
	for _, s := range of {
		one := known[s]
		if one == nil {
			if len(known) >= maxAlerts {
				continue
			}
			one = &alert{condition: c, subject: s, since: now}
			known[s] = one
		}
		one.last, one.over = now, false
		if !one.raised && now.Sub(one.since) >= raiseAfter {
			one.raised = true
			a.log.LogAttrs(ctx, c.level.log(), "alert", slog.String("reason", c.reason), slog.String("about", s.Name), slog.String("means", one.whole()))
		}
	}
	for s, one := range known {
		switch quiet := now.Sub(one.last); {
		case one.over || quiet < clearAfter:
		case !one.raised:
			delete(known, s)
		default:
			one.over = true
			a.log.InfoContext(ctx, "alert is over", "reason", c.reason, "about", s.Name)
		}
	}
}

// change is what the journal has not been told yet.
type change struct {
	*alert
	now  alert // as it was when it was looked at
	over bool
}

// unrecorded gives what is to be recorded, in its order.
func (a *alerts) unrecorded() (all []change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, known := range a.known {
		for _, one := range known {
			if one.raised && one.event == "" {
				all = append(all, change{one, *one, false})
			}
			if one.over {
				all = append(all, change{one, *one, true})
			}
		}
	}
	slices.SortStableFunc(all, func(x, y change) int {
		if x.alert == y.alert {
			return 0 // raised, and then over
		}
		return cmp.Or(x.now.last.Compare(y.now.last), x.now.since.Compare(y.now.since), cmp.Compare(x.now.reason, y.now.reason), cmp.Compare(x.now.Name, y.now.Name))
	})
	return all
}

// record writes a change into the platform's journal; false if it cannot be now.
func (a *alerts) record(ctx context.Context, c change) bool {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	e := audit.SystemCause().Event(platform, audit.AlertRaised, audit.Failed)
	e.Reason, e.Message = c.now.reason, c.now.whole()+" "+c.now.advice
	e.Details = map[string]string{"level": string(c.now.level), "since": c.now.since.UTC().Format(time.RFC3339)}
	e.Target = audit.Target{Kind: "node", ID: a.node, Name: a.node}
	switch {
	case c.now.Tenant != "":
		e.Target = audit.Target{Kind: "tenant", ID: string(c.now.Tenant), Name: c.now.Name}
	case c.now.Node != "":
		e.Target = audit.Target{Kind: "node", ID: c.now.Node, Name: c.now.Node}
	}
	if c.over {
		e.Type, e.Outcome, e.Message = audit.AlertCleared, audit.Success, "It is over: "+c.now.whole()
		a.mu.Lock()
		e.Details["raised"] = string(c.event)
		a.mu.Unlock()
	}
	receipt, err := a.journal.Commit(ctx, e)
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.mute; err != nil {
		if a.mute = true; !before {
			a.log.WarnContext(ctx, "an alert is not in the journal yet", "reason", c.now.reason, "error", err)
		}
		return false
	}
	a.mute = false
	switch {
	case !c.over:
		c.event = receipt.Event()
	case c.alert.over:
		delete(a.known[c.now.reason], c.now.subject)
	}
	return true
}

// open gives the alerts that stand now, the oldest first.
func (a *alerts) open() (all []alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, known := range a.known {
		for _, one := range known {
			if one.raised && !one.over {
				all = append(all, *one)
			}
		}
	}
	slices.SortFunc(all, func(x, y alert) int {
		return cmp.Or(x.since.Compare(y.since), cmp.Compare(x.reason, y.reason), cmp.Compare(x.Name, y.Name), cmp.Compare(x.detail, y.detail))
	})
	return all
}

// count is how many alerts of a reason stand now.
func (a *alerts) count(reason string) (n int) {
	for _, one := range a.open() {
		if one.reason == reason {
			n++
		}
	}
	return n
}

// reasons names the open ones, each once.
func (a *alerts) reasons() []string {
	names := []string{}
	for _, one := range a.open() {
		names = append(names, one.reason)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
