package proxy

import (
	"cmp"
	"errors"
	"time"

	"gatehouse/authz/routes"
	"gatehouse/internal/httpkit"
	"gatehouse/proxy/upstream"
)

// Settings are what of a gate may change while it serves. A request goes by
// those of the moment it came in, by all of them and to its end.
type Settings struct {
	Routes         Routes
	App            *upstream.Pool
	TrustedProxies httpkit.TrustedProxies // nil: nobody is in front
	Limits         Limits
	HSTS           HSTS
}

// Routes is the app's route table; path is decoded once.
type Routes interface {
	Match(method, path string) (routes.Route, bool)
}

// Limits bound what one request and all of them together may take. Zero values
// mean the defaults named beside them.
type Limits struct {
	TargetBytes int   // 8 KiB of path and query
	HeaderBytes int   // 64 KiB of header
	Fields      int   // 100 header fields
	BodyBytes   int64 // 1 GiB of body; negative: no limit

	Requests  int // 20,000 requests at once, long-lived streams included
	PerClient int // 1,000 of them from one address (an IPv6 /64 counts as one)

	// StrangerRate is how many requests a second callers that nobody knows may
	// send from one client network, five seconds' worth at once: 200.
	StrangerRate int

	BodyIdle  time.Duration // 60 s between two pieces of a request's body
	BodyTime  time.Duration // 30 s for the body of a request to our own endpoints; a forwarded one
	BodyRate  int64         // is given a second more for every 1 KiB: its lowest average speed
	WriteIdle time.Duration // 60 s for the client to take a piece of the answer
}

func (l Limits) withDefaults() Limits {
	l.TargetBytes = cmp.Or(l.TargetBytes, 8<<10)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 64<<10)
	l.Fields = cmp.Or(l.Fields, 100)
	l.BodyBytes = cmp.Or(l.BodyBytes, 1<<30)
	l.Requests = cmp.Or(l.Requests, 20_000)
	l.PerClient = cmp.Or(l.PerClient, 1_000)
	l.StrangerRate = cmp.Or(l.StrangerRate, 200)
	l.BodyIdle = cmp.Or(l.BodyIdle, time.Minute)
	l.BodyTime = cmp.Or(l.BodyTime, 30*time.Second)
	l.BodyRate = cmp.Or(l.BodyRate, 1<<10)
	l.WriteIdle = cmp.Or(l.WriteIdle, time.Minute)
	return l
}

// settings are the Settings of one moment, and what is made of them.
type settings struct {
	Settings
	form      httpkit.FormLimits
	hsts      []string // the value of the header; nil: none. It is shared, and not changed.
	strangers *httpkit.ClientRate
}

// Apply makes the settings those of all requests from now on.
func (g *Gate) Apply(s Settings) error {
	if s.Routes == nil || s.App == nil {
		return errors.New("proxy: the gate's settings lack the app or its routes")
	}
	s.Limits = s.Limits.withDefaults()
	l := s.Limits
	next := &settings{Settings: s, hsts: s.HSTS.lines(),
		form: httpkit.FormLimits{Target: l.TargetBytes, Fields: l.Fields, Header: l.HeaderBytes, Body: max(l.BodyBytes, 0)}}
	if before := g.settings.Load(); before != nil && before.Limits.StrangerRate == l.StrangerRate {
		next.strangers = before.strangers // what strangers have used up stays used up
	} else {
		next.strangers = httpkit.NewClientRate(float64(l.StrangerRate), burstSeconds*l.StrangerRate)
	}
	g.settings.Store(next)
	return nil
}
