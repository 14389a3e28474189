package configs

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Listen holds the listeners' addresses as host:port. An empty host means all
// interfaces, port 0 a free port.
type Listen struct {
	HTTPS string `yaml:"https" default:":443" doc:"The gate itself (TLS)."`
	HTTP  string `yaml:"http" doc:"Redirects to HTTPS. Empty: not served."`
	// PublicPort is told apart from that of HTTPS by what stands in front and passes
	// connections on.
	PublicPort int    `yaml:"public_port" doc:"The port at which browsers reach https, for redirects and for the links that the command line prints. 0: that of https. Set it where something in front passes another port on, such as 443."`
	Ops        string `yaml:"ops" default:"127.0.0.1:8480" doc:"Health, readiness and metrics, without authentication: keep it on loopback or a private network."`
	Profiles   bool   `yaml:"profiles" live:"true" doc:"Serves /debug/pprof on the ops listener. Profiles cost time and tell much: switch it on to look, and off again."`
	// TrustedProxies are the hops whose X-Forwarded-* headers are believed.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" live:"true" doc:"Addresses or networks (CIDR) of proxies in front whose X-Forwarded-For is believed. Empty: nobody's."`
}

// Port is where browsers reach the gate; 0 if that is known only once it listens.
func (l *Listen) Port() int {
	if l.PublicPort != 0 {
		return l.PublicPort
	}
	_, port, err := net.SplitHostPort(l.HTTPS)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

func (l *Listen) check(c *checker) {
	for _, address := range []struct{ key, value string }{
		{"listen.https", l.HTTPS}, {"listen.http", l.HTTP}, {"listen.ops", l.Ops},
	} {
		if address.value == "" && address.key != "listen.https" {
			continue
		}
		if err := checkAddress(address.value); err != nil {
			c.add(address.key, err.Error(), `write host:port, such as "127.0.0.1:8443" or ":443"`)
		}
	}
	if l.PublicPort < 0 || l.PublicPort > math.MaxUint16 {
		c.add("listen.public_port", strconv.Itoa(l.PublicPort)+" is not a port number", "write the port at which browsers reach the gate, such as 443")
	}
	for i, p := range l.TrustedProxies {
		if p.Bits() == 0 {
			c.add(index("listen.trusted_proxies", i), p.String()+" trusts everybody's X-Forwarded-For",
				"list only the proxies that stand in front of the gateway")
		}
	}
	if l.HTTP != "" && l.HTTP == l.HTTPS && !strings.HasSuffix(l.HTTP, ":0") {
		c.add("listen.http", "http and https share the address "+l.HTTP, "give each its own port")
	}
}

func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not host:port", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port number", port)
	}
	if host == "" || host == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return fmt.Errorf("%q is not an IP address to listen on", host)
	}
	return nil
}
