package httpkit

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientIPIsReadFromTrustedHopsOnly(t *testing.T) {
	tests := map[string]struct {
		trusted   []string
		peer      string
		forwarded []string
		want      string
	}{
		"nobody is trusted":             {peer: "10.0.0.1:5", forwarded: []string{"1.2.3.4"}, want: "10.0.0.1"},
		"the peer is not trusted":       {trusted: []string{"10.0.0.0/8"}, peer: "8.8.8.8:5", forwarded: []string{"1.2.3.4"}, want: "8.8.8.8"},
		"one trusted hop":               {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"1.2.3.4"}, want: "1.2.3.4"},
		"what the client claimed":       {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"6.6.6.6, 1.2.3.4"}, want: "1.2.3.4"},
		"two trusted hops":              {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"6.6.6.6, 1.2.3.4, 10.0.0.2"}, want: "1.2.3.4"},
		"over several lines":            {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"6.6.6.6", "1.2.3.4", "10.0.0.2"}, want: "1.2.3.4"},
		"all hops trusted":              {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"10.0.0.3, 10.0.0.2"}, want: "10.0.0.3"},
		"garbage ends the walk":         {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"1.2.3.4, unknown, 10.0.0.2"}, want: "10.0.0.2"},
		"an empty entry ends the walk":  {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"1.2.3.4, , 10.0.0.2"}, want: "10.0.0.2"},
		"an address with a port":        {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"1.2.3.4:555"}, want: "1.2.3.4"},
		"IPv6":                          {trusted: []string{"::1/128"}, peer: "[::1]:5", forwarded: []string{"2001:db8::7"}, want: "2001:db8::7"},
		"IPv4 inside IPv6":              {trusted: []string{"10.0.0.1/32"}, peer: "[::ffff:10.0.0.1]:5", forwarded: []string{"::ffff:1.2.3.4"}, want: "1.2.3.4"},
		"nothing is said":               {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", want: "10.0.0.1"},
		"a trailing comma is no client": {trusted: []string{"10.0.0.0/8"}, peer: "10.0.0.1:5", forwarded: []string{"1.2.3.4,"}, want: "10.0.0.1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var trusted TrustedProxies
			for _, network := range test.trusted {
				trusted = append(trusted, netip.MustParsePrefix(network))
			}
			r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			if got := trusted.ClientIP(r).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
