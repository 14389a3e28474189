package authn_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/sessions"
)

// hinting sends client hints, as browsers do once they were asked for them.
type hinting struct {
	next  http.RoundTripper
	hints http.Header
}

func (h hinting) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range h.hints {
		r.Header[name] = values
	}
	return h.next.RoundTrip(r)
}

func TestClientHintsNameADevice(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	for want, hints := range map[string]http.Header{
		"Edge on Windows 11": {"Sec-Ch-Ua": {`"Not)A;Brand";v="8", "Chromium";v="138", "Microsoft Edge";v="138"`}, "Sec-Ch-Ua-Platform": {`"Windows"`}, "Sec-Ch-Ua-Platform-Version": {`"15.0.0"`}},
		"Firefox on Linux":   {"Sec-Ch-Ua": {`"a"`, `"b"`}, "Sec-Ch-Ua-Platform": {`"` + strings.Repeat("x", 64<<10) + `"`}},
	} {
		b := w.browser()
		b.Transport = hinting{b.Transport, hints}
		b.open("/").has(t, http.StatusOK)
		devices, _, err := w.sessions.Devices(t.Context(), acme, sessions.DeviceFilter{Limit: 1})
		check(t, err)
		if devices[0].Name != want {
			t.Errorf("%q, not %q", devices[0].Name, want)
		}
		if got := b.open("/.gatehouse/devices").header.Get("Accept-CH"); !strings.Contains(got, "Sec-CH-UA-Platform-Version") {
			t.Errorf("asked for %q", got)
		}
	}
}
