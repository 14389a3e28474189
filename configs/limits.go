package configs

import (
	"net/netip"
	"slices"
	"time"
)

// Limits bound what one request may cost.
type Limits struct {
	HeaderBytes       Size          `yaml:"header_bytes" default:"64KiB" doc:"Largest request head."`
	BodyBytes         Size          `yaml:"body_bytes" default:"1GiB" doc:"Largest request body towards the app. 0: the app decides."`
	Requests          int           `yaml:"requests" default:"20000" doc:"Requests at once, long-lived streams included."`
	RequestsPerClient int           `yaml:"requests_per_client" default:"1000" doc:"Requests at once from one address."`
	RatePerClient     int           `yaml:"rate_per_client" default:"200" doc:"Requests a second from one client network by callers who are not signed in, five seconds' worth at once; what is beyond gets 429."`
	HeaderTimeout     time.Duration `yaml:"header_timeout" default:"10s" doc:"How long a client may take to send a request's head."`
	BodyTimeout       time.Duration `yaml:"body_timeout" default:"30s" doc:"How long a client may take to send a request's body. One for the app gets a second more for every body_rate that has come; time that the app takes does not count."`
	BodyRate          Size          `yaml:"body_rate" default:"1KiB" doc:"Bytes a second that a body for the app must reach on average once body_timeout is over."`
	StallTimeout      time.Duration `yaml:"stall_timeout" default:"60s" doc:"How long a body or an answer may stand still."`
	IdleTimeout       time.Duration `yaml:"idle_timeout" default:"2m" doc:"How long an idle client connection is kept."`
	ConnectTimeout    time.Duration `yaml:"connect_timeout" default:"5s" doc:"How long connecting to an upstream may take."`
	AnswerTimeout     time.Duration `yaml:"answer_timeout" default:"60s" doc:"How long an upstream may take until it begins to answer."`
	DrainNotice       time.Duration `yaml:"drain_notice" default:"2s" doc:"How long a node of several goes on taking connections after SIGTERM, while /readyz says that it is draining: as long as a load balancer takes to notice. 0: not at all."`
	DrainTimeout      time.Duration `yaml:"drain_timeout" default:"30s" doc:"How long requests in flight may go on after SIGTERM and drain_notice."`
}

func (l *Limits) check(c *checker) {
	if l.HeaderBytes < 4<<10 || l.HeaderBytes > 1<<20 {
		c.add("limits.header_bytes", "header_bytes must lie between 4KiB and 1MiB", "write a size such as 32KiB")
	}
	if l.BodyRate < 1 || l.BodyRate > 1<<30 {
		c.add("limits.body_rate", "body_rate must lie between 1B and 1GiB", "write bytes a second such as 1KiB")
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"requests", l.Requests}, {"requests_per_client", l.RequestsPerClient}, {"rate_per_client", l.RatePerClient}} {
		if n.value < 1 || n.value > 1_000_000 {
			c.add("limits."+n.key, n.key+" must lie between 1 and 1000000", "write a number such as 1000")
		}
	}
	if l.DrainNotice < 0 || l.DrainNotice > 10*time.Minute {
		c.add("limits.drain_notice", "drain_notice must lie between 0s and 10m", "write a time such as 10s")
	}
	for _, t := range []struct {
		key   string
		value time.Duration
	}{
		{"header_timeout", l.HeaderTimeout}, {"body_timeout", l.BodyTimeout}, {"stall_timeout", l.StallTimeout},
		{"idle_timeout", l.IdleTimeout}, {"connect_timeout", l.ConnectTimeout},
		{"answer_timeout", l.AnswerTimeout}, {"drain_timeout", l.DrainTimeout},
	} {
		if t.value < 100*time.Millisecond || t.value > 24*time.Hour {
			c.add("limits."+t.key, t.key+" must lie between 100ms and 24h", "write a time such as 30s")
		}
	}
}

// Egress says where the gateway may connect to for a tenant's settings
// (discovery, keys, metadata): beyond the public internet, and not in it.
type Egress struct {
	Allow []netip.Prefix `yaml:"allow" doc:"Private or loopback networks (CIDR) that tenants' identity providers may live in. Everything public is allowed anyway."`
	Deny  []netip.Prefix `yaml:"deny" doc:"Networks (CIDR) that are not connected to, whatever allow says: public addresses that lead inside, and the prefix of a NAT64 of your own, behind which every IPv4 address lies."`
}

// check names what is allowed in vain.
func (e *Egress) check(c *checker) {
	for i, allowed := range e.Allow {
		at := slices.IndexFunc(e.Deny, func(denied netip.Prefix) bool {
			return denied.Bits() <= allowed.Bits() && denied.Contains(allowed.Addr())
		})
		if at >= 0 {
			c.add(index("egress.allow", i), "all of "+allowed.String()+" is denied by "+e.Deny[at].String(), "remove it, or deny less: deny counts before allow")
		}
	}
}
