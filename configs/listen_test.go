package configs

import "testing"

func TestBrowsersReachThePortThatIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		listen Listen
		port   int
	}{
		"that of https":    {Listen{HTTPS: "127.0.0.1:8443"}, 8443},
		"one in front":     {Listen{HTTPS: ":8443", PublicPort: 443}, 443},
		"that is free":     {Listen{HTTPS: "127.0.0.1:0"}, 0},
		"IPv6":             {Listen{HTTPS: "[::1]:9443"}, 9443},
		"nothing readable": {Listen{HTTPS: "none"}, 0},
	} {
		if got := test.listen.Port(); got != test.port {
			t.Errorf("%s: %d, not %d", name, got, test.port)
		}
	}
}
