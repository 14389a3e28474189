package gateway

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/audit"
	"gatehouse/configs"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// written are values of the config by key paths.
type written map[string]string

// proof shows that a change of some keys takes effect while the gateway runs.
type proof struct {
	name          string
	before, after written
	// holds reports whether what after says is in effect. It is asked before the
	// change as well, but where a time is waited for that is too long by then.
	holds func(*house) bool
	waits bool
}

const request = "GET /x HTTP/1.1\r\nHost: acme.test\r\n\r\n"

var proofs = []proof{
	{name: "profiles", after: written{"listen.profiles": "true"}, holds: func(h *house) bool {
		status, _ := h.ops("/debug/pprof/")
		return status == http.StatusOK
	}},
	{name: "trusted proxies", after: written{"listen.trusted_proxies": "[127.0.0.0/8]"}, holds: func(h *house) bool {
		_, text := h.ask(http.MethodGet, "/x", "", "X-Forwarded-For", "203.0.113.9")
		return text == "first 203.0.113.9"
	}},
	{name: "certificates instead of the CA", after: written{"tls.mode": "files", "tls.certificates": "[ { cert: a.pem, key: a.key } ]"},
		holds: shows("a.test")},
	{name: "other certificates", before: written{"tls.mode": "files", "tls.certificates": "[ { cert: a.pem, key: a.key } ]"},
		after: written{"tls.certificates": "[ { cert: b.pem, key: b.key } ]"}, holds: shows("b.test")},
	{name: "TLS version", after: written{"tls.min_version": "1.3"}, holds: func(h *house) bool {
		_, err := h.dial(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		return err != nil
	}},
	{name: "TLS alone", after: written{"tls.hsts": "1h", "tls.hsts_subdomains": "true"}, holds: func(h *house) bool {
		c, err := h.dial(nil)
		if err == nil {
			_, err = io.WriteString(c, request)
		}
		if err != nil {
			return false
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && resp.Body.Close() == nil && resp.Header.Get("Strict-Transport-Security") == "max-age=3600; includeSubDomains"
	}},
	{name: "routes", after: written{"app.routes": "[ { path: /**, access: signed_in } ]"}, holds: func(h *house) bool {
		return h.status("/x") == http.StatusUnauthorized
	}},
	{name: "health", after: written{"app.health": "/well"}, holds: func(h *house) bool { return h.app.well.Load() > 0 }},
	{name: "head size", after: written{"limits.header_bytes": "4KiB"}, holds: func(h *house) bool {
		return h.status("/x", "X-Large", strings.Repeat("x", 20_000)) != http.StatusOK
	}},
	{name: "body size", after: written{"limits.body_bytes": "1000B"}, holds: func(h *house) bool {
		status, _ := h.ask(http.MethodPost, "/x", strings.Repeat("x", 2000))
		return status == http.StatusRequestEntityTooLarge
	}},
	{name: "requests", after: written{"limits.requests": "1"}, holds: secondGets(http.StatusServiceUnavailable)},
	{name: "requests per client", after: written{"limits.requests_per_client": "1"}, holds: secondGets(http.StatusTooManyRequests)},
	{name: "rate per client", after: written{"limits.rate_per_client": "1"}, holds: func(h *house) bool {
		for range 8 {
			if h.status("/x") == http.StatusTooManyRequests {
				return true
			}
		}
		return false
	}},
	{name: "head time", before: written{"limits.header_timeout": "24h"}, after: written{"limits.header_timeout": "2s"}, waits: true,
		holds: func(h *house) bool { return h.ends("GET / HTT") }},
	{name: "idle time", before: written{"limits.idle_timeout": "24h"}, after: written{"limits.idle_timeout": "100ms"}, waits: true,
		holds: func(h *house) bool { return h.ends(request) }},
	{name: "body time", before: written{"limits.body_timeout": "24h", "limits.stall_timeout": "24h"}, after: written{"limits.body_timeout": "100ms"}, waits: true,
		holds: func(h *house) bool { return h.ends(half(100)) }},
	{name: "body rate", before: written{"limits.body_timeout": "100ms", "limits.body_rate": "1B", "limits.stall_timeout": "24h"}, after: written{"limits.body_rate": "1GiB"}, waits: true,
		holds: func(h *house) bool { return h.ends(half(100_000)) }},
	{name: "stall time", before: written{"limits.body_timeout": "24h", "limits.stall_timeout": "24h"}, after: written{"limits.stall_timeout": "2s"}, waits: true,
		holds: func(h *house) bool { return h.ends(half(100)) }},
	{name: "answer time", before: written{"limits.answer_timeout": "24h"}, after: written{"limits.answer_timeout": "100ms"}, waits: true,
		holds: func(h *house) bool { return h.status("/hold") == http.StatusGatewayTimeout }},
	// A gateway that is alone gives no notice: e2e shows it on several.
	{name: "drain time", before: written{"limits.drain_timeout": "24h", "limits.answer_timeout": "24h", "limits.drain_notice": "10m"},
		after: written{"limits.drain_timeout": "100ms", "limits.drain_notice": "0s"}, waits: true,
		holds: func(h *house) bool {
			held := h.hold()
			return held != nil && h.stop() == nil && ended(held)
		}},
}

// half is a request of which a part of the body, in bytes, is not sent.
func half(size int) string {
	return "POST /x HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("x", min(size, 90_000))
}

// shows reports whether the gate has the certificate of a name.
func shows(name string) func(*house) bool {
	return func(h *house) bool {
		c, err := h.dial(func(c *tls.Config) { c.InsecureSkipVerify = true })
		return err == nil && slices.Equal(c.ConnectionState().PeerCertificates[0].DNSNames, []string{name})
	}
}

// secondGets reports whether a request gets a status while another is held.
func secondGets(status int) func(*house) bool {
	return func(h *house) bool {
		held := h.hold()
		if held == nil {
			return false
		}
		got := h.status("/x")
		h.app.release <- struct{}{}
		_, _ = io.Copy(io.Discard, held) // until its place is free again
		return got == status
	}
}

// Every key that the reference calls live is changed under a running gateway,
// and the change shows from outside, after its record (P1).
func TestLiveKeysTakeEffectWhileServing(t *testing.T) {
	t.Parallel()
	proven := []string{"app.upstreams", "limits.connect_timeout", "egress.allow", "egress.deny"} // by the tests below
	for _, p := range proofs {
		proven = slices.AppendSeq(proven, maps.Keys(p.after))
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, p.before)
			if !p.waits && p.holds(h) {
				t.Fatal("it holds before the change")
			}
			h.write(p.after)
			h.hangUp()
			h.soon("the word on the change", h.says("a change of the config was taken over"))
			h.soon("the effect", func() bool { return p.holds(h) })
			if t.Failed() || p.after["limits.drain_timeout"] != "" {
				return // it has stopped
			}
			want := strings.Join(slices.Sorted(maps.Keys(p.after)), ", ")
			if got := h.reloads(); len(got) != 1 || !sameKeys(got[0], want) {
				t.Errorf("the journal says %q, not %s", got, want)
			}
			if status, text := h.ops("/readyz"); status != http.StatusOK || !strings.Contains(text, `"config_waiting":[]`) {
				t.Errorf("readiness: %d %s", status, text)
			}
		})
	}
	slices.Sort(proven)
	if live := slices.Sorted(slices.Values(configs.LiveKeys())); !slices.Equal(live, slices.Compact(proven)) {
		t.Errorf("the config calls live\n%v\nproven are\n%v", live, slices.Compact(proven))
	}
}

// sameKeys reports whether a record names the keys, in whatever order.
func sameKeys(message, want string) bool {
	_, list, _ := strings.Cut(strings.TrimSuffix(message, "."), ": ")
	return strings.Join(slices.Sorted(strings.SplitSeq(list, ", ")), ", ") == want
}

func TestNewUpstreamsServeAndOldOnesFinish(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	held := make(chan string, 1)
	go func() {
		status, text := h.ask(http.MethodGet, "/hold", "")
		held <- http.StatusText(status) + " " + text
	}()
	<-h.app.entered
	h.write(written{"app.upstreams": `["` + newSomeApp(t, "second").URL + `"]`})
	h.soon("the second app", func() bool {
		_, text := h.ask(http.MethodGet, "/x", "")
		return strings.HasPrefix(text, "second")
	})
	close(h.app.release)
	if got := <-held; !strings.HasPrefix(got, "OK first") {
		t.Errorf("the request under way ended with %q", got)
	}
	h.soon("the end of the first app's connections", func() bool { return h.app.connections.Load() == 0 })
}

func TestConnectTimeIsLive(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mute.Close() }()
	h := newHouse(t, written{"app.upstreams": `["https://` + mute.Addr().String() + `"]`, "limits.connect_timeout": "24h"})
	h.write(written{"limits.connect_timeout": "100ms"})
	h.soon("the word on the change", h.says("limits.connect_timeout"))
	if got := h.status("/x"); got != http.StatusBadGateway {
		t.Errorf("status %d", got)
	}
}

func TestEgressIsLive(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	provider := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer provider.Close()
	h := newHouse(t, nil)
	if _, err := h.Services().Tenants.PutConnection(t.Context(), audit.SystemCause(), h.acme.ID, tenants.Connection{Name: "idp", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: provider.URL, ClientID: "acme"}}); err != nil {
		t.Fatal(err)
	}
	h.status("/.gatehouse/login?connection=idp")
	if asked.Load() != 0 {
		t.Fatal("the provider was asked though nobody allows it")
	}
	h.write(written{"egress.allow": "[127.0.0.0/8]"})
	h.soon("the provider's turn", func() bool { h.status("/.gatehouse/login?connection=idp"); return asked.Load() > 0 })
	h.write(written{"egress.allow": "[127.0.0.0/8]", "egress.deny": "[127.0.0.1]"})
	for name, way := range map[string]*httpkit.Egress{"fetches": h.rooms.egress, "polls": h.rooms.waits} {
		h.soon("the end of "+name, func() bool {
			resp, err := way.Client().Get(provider.URL)
			if err == nil {
				_ = resp.Body.Close()
			}
			return errors.Is(err, httpkit.ErrEgressRefused)
		})
	}
}

// A bad file changes nothing, is told once with its place, and does no harm to
// readiness; what it says right is taken over once it is mended.
func TestABadFileKeepsTheConfig(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	good, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	h.put("limits: { requests: 1 }\nlimit: {}\n" + string(good))
	h.soon("the complaint", h.says(h.file+":2:1: unknown key"))
	if got := h.status("/x"); got != http.StatusOK {
		t.Errorf("a request gets %d", got)
	}
	if status, text := h.ops("/readyz"); status != http.StatusOK || !strings.Contains(text, `"config_refused":true`) {
		t.Errorf("readiness: %d %s", status, text)
	}
	if _, text := h.ops("/metrics"); !strings.Contains(text, "gatehouse_config_refused 1") {
		t.Error("the metrics say nothing of it")
	}
	h.put(string(good))
	h.soon("the all-clear", h.says("nothing changed in the config"))
	if _, text := h.ops("/metrics"); !strings.Contains(text, "gatehouse_config_refused 0") {
		t.Error("the metrics still complain")
	}
	if got := h.reloads(); got != nil {
		t.Errorf("the journal says %q", got)
	}
}

// A file may be refused for a reason that passes without a change of the file.
func TestARefusedFileIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.write(written{"tls.mode": "files", "tls.certificates": "[ { cert: c.pem, key: c.key } ]"})
	h.soon("the complaint", h.says("there is no readable file"))
	h.certificate("c")
	h.soon("the certificate", func() bool { return shows("c.test")(h) })
}

// The follower by hand, look by look: what is wrong is told once, what is being
// written is left alone, and nothing takes effect that is not in the journal.
func TestTheFollowerIsPatientAndBrief(t *testing.T) {
	t.Parallel()
	h := openHouse(t, nil)
	f := &follower{Gateway: h.Gateway, path: h.file, accepted: h.config}
	complaints := func() int { return strings.Count(h.out.String(), "not taken over") }
	routes := func() any { return h.live.settings.Routes }
	if !f.look() || f.look() || !f.pending {
		t.Error("a file that was never read is not due")
	}
	f.reload(t.Context(), false)
	if f.pending || h.out.String() != "" {
		t.Errorf("the file of the start: %s", h.out)
	}

	h.put("nonsense\n")
	if !f.look() {
		t.Error("the change was not seen")
	}
	for range 3 {
		f.reload(t.Context(), false)
	}
	if got := complaints(); got != 1 || !f.pending {
		t.Errorf("%d complaints, pending %t", got, f.pending)
	}
	f.reload(t.Context(), true)
	if got := complaints(); got != 2 {
		t.Errorf("%d complaints after somebody asked", got)
	}
	h.put("nonsense again\n")
	f.look()
	f.reload(t.Context(), false)
	if got := complaints(); got != 3 {
		t.Errorf("%d complaints about another file", got)
	}

	before := routes()
	h.write(written{"app.routes": "[ { path: /other, access: public } ]"})
	f.reload(t.Context(), true) // it changed since it was looked at
	if routes() != before || !f.pending {
		t.Error("a file that changed while it was read was taken over")
	}
	if err := h.rooms.journal.Close(); err != nil {
		t.Fatal(err)
	}
	f.reload(t.Context(), false)
	if routes() != before || !f.pending || !h.standing.Load().refused {
		t.Error("a change took effect without its record")
	}
	if err := os.Remove(h.file); err != nil {
		t.Fatal(err)
	}
	if !f.look() {
		t.Error("the file's end was not seen")
	}
	f.reload(t.Context(), false)
	if got := complaints(); got != 5 {
		t.Errorf("%d complaints in the end:\n%s", got, h.out)
	}
}

// What waits for a restart is told once for each change, and changes nothing.
func TestOtherKeysWaitForARestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	warnings := func() int { return strings.Count(h.out.String(), "wait for a restart") }
	elsewhere := t.TempDir()
	waiting := written{"environment": "other", "data": elsewhere, "data_keys": elsewhere + "/keys", "store": "sqlite://" + elsewhere, "keys": "file://" + elsewhere + "/kek.key",
		"listen.https": `"127.0.0.1:1"`, "listen.http": `"127.0.0.1:0"`, "listen.ops": `"127.0.0.1:2"`, "operator.host": "other.test",
		"app.headers": "{ assertion: A, tenant: B, user: C, email: D, name: E, groups: F, roles: G, teams: H, session: I, request_id: J }"}
	h.write(waiting)
	h.hangUp()
	h.soon("the warning", func() bool { return warnings() == 1 })
	_, text := h.ops("/readyz")
	file, problems, err := configs.Load(h.file)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	live, names := h.config.Changes(file)
	if len(live) != 0 || len(names) != 19 {
		t.Errorf("live are %v, waiting %v", live, names)
	}
	for _, name := range names {
		if !strings.Contains(text, `"`+name+`"`) {
			t.Errorf("%s is not in %s", name, text)
		}
	}
	if _, text := h.ops("/metrics"); !strings.Contains(text, "gatehouse_config_keys_waiting 19") {
		t.Error("the metrics do not count them")
	}
	if strings.Contains(h.out.String(), elsewhere) {
		t.Errorf("the log shows values:\n%s", h.out)
	}
	if got := h.status("/x"); got != http.StatusOK {
		t.Errorf("a request gets %d", got)
	}

	waiting["limits.requests"] = "7"
	h.write(waiting)
	h.hangUp()
	h.soon("the live key among them", h.says("limits.requests"))
	h.hangUp()
	h.soon("the answer to SIGHUP", h.says("nothing changed in the config"))
	if got := warnings(); got != 1 {
		t.Errorf("%d warnings:\n%s", got, h.out)
	}
	h.write(nil)
	h.hangUp()
	h.soon("the end of waiting", h.says("waits for a restart any more"))
}

func TestSIGHUPWithoutAChangeSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.hangUp()
	h.soon("the answer", h.says("nothing changed in the config"))
	if got := h.reloads(); got != nil {
		t.Errorf("the journal says %q", got)
	}
}
