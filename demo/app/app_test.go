package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"gatehouse/assertion"
)

// believer takes the tenant's name in the assertion's place for proven.
type believer struct{}

func (believer) Request(r *http.Request) (assertion.Claims, error) {
	name := r.Header.Get(assertion.Header)
	if name == "" {
		return assertion.Claims{}, errors.New("none")
	}
	return assertion.Claims{Subject: "usr_1", TenantID: "ten_" + name, TenantName: name, Email: "m@" + name, Name: "Mira <Member>",
		Teams: map[string][]string{"payments": {"team_member"}}}, nil
}

func start(t *testing.T) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(New(believer{}, slog.New(slog.DiscardHandler)))
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(func() { cancel(); server.Close() })
	return server.URL
}

func send(t *testing.T, method, address, tenant, requestID, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if tenant != "" {
		req.Header.Set(assertion.Header, tenant)
		req.Header.Set("X-Gatehouse-Tenant", tenant)
	}
	if requestID != "" {
		req.Header.Set(requestIDHeader, requestID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestSeenListsEveryRequestAsItCame(t *testing.T) {
	address := start(t)
	send(t, "GET", address+"/public/ping?secret=1", "acme", "req_1", "")
	send(t, "POST", address+"/nowhere/%2e/x", "", "req_2", "")
	if status, _ := send(t, "GET", address+"/__seen", "acme", "req_3", ""); status != http.StatusNotFound {
		t.Errorf("through the gate, /__seen answered %d", status)
	}
	_, text := send(t, "GET", address+"/__seen", "", "", "")
	var got []map[string]string
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err, text)
	}
	want := []string{"GET /public/ping req_1 acme", "POST /nowhere/%2e/x req_2 ", "GET /__seen req_3 acme"}
	if len(got) != len(want) {
		t.Fatalf("seen %v", got)
	}
	for i, r := range got {
		if len(r) != 5 || strings.Join([]string{r["method"], r["path"], r["request_id"], r["tenant"]}, " ") != want[i] {
			t.Errorf("seen %v, want %s", r, want[i])
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	var s seen
	r := httptest.NewRequest(http.MethodGet, "/first", nil)
	s.add(r)
	for range maxSeen {
		s.add(httptest.NewRequest(http.MethodGet, "/x", nil))
	}
	s.add(httptest.NewRequest(http.MethodGet, "/last", nil))
	all := s.all()
	if len(all) != maxSeen || all[0].Path != "/x" || all[maxSeen-1].Path != "/last" {
		t.Errorf("%d requests, from %v to %v", len(all), all[0], all[len(all)-1])
	}
}

func TestWhoamiShowsHeadersAndClaims(t *testing.T) {
	address := start(t)
	var got struct {
		Headers  map[string][]string
		Verified bool
		Claims   map[string]any
	}
	_, text := send(t, "GET", address+"/api/whoami", "acme", "req_1", "")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Verified || got.Claims["tenant"] != "acme" || got.Claims["sub"] != "usr_1" || got.Headers["X-Gatehouse-Tenant"][0] != "acme" || len(got.Headers["Host"]) != 1 {
		t.Errorf("whoami %s", text)
	}
	if _, text := send(t, "GET", address+"/api/whoami", "", "req_1", ""); !strings.Contains(text, `"verified": false`) {
		t.Errorf("unproven whoami %s", text)
	}
}

func TestAlertsBelongToTenantAndTeam(t *testing.T) {
	address := start(t)
	if status, text := send(t, "POST", address+"/api/teams/payments/alerts", "acme", "r", `{"title":"disk full"}`); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	for target, want := range map[string]bool{"acme payments": true, "acme platform": false, "globex payments": false} {
		tenant, team, _ := strings.Cut(target, " ")
		_, text := send(t, "GET", address+"/api/teams/"+team+"/alerts", tenant, "r", "")
		if strings.Contains(text, "disk full") != want {
			t.Errorf("%s: %s", target, text)
		}
	}
	if status, _ := send(t, "GET", address+"/api/teams/payments/alerts", "", "", ""); status != http.StatusUnauthorized {
		t.Errorf("without identity: %d", status)
	}
	for _, body := range []string{"", "{", `{"title":" "}`, `{"title":"` + strings.Repeat("x", maxTitle+1) + `"}`} {
		if status, _ := send(t, "POST", address+"/api/teams/payments/alerts", "acme", "r", body); status != http.StatusBadRequest {
			t.Errorf("%.20q answered %d", body, status)
		}
	}
	var l alerts
	for range maxAlerts + 5 {
		l.add(teamKey{"t", "x"}, alert{})
	}
	if list := l.of(teamKey{"t", "x"}); len(list) != maxAlerts || list[maxAlerts-1].ID != "105" {
		t.Errorf("%d alerts, last %v", len(list), list[len(list)-1])
	}
}

func TestTransfers(t *testing.T) {
	address := start(t)
	if _, text := send(t, "GET", address+"/bytes?n=53", "", "", ""); text != "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyza" {
		t.Errorf("bytes %q", text)
	}
	if _, text := send(t, "GET", address+"/bytes?n=100000", "", "", ""); len(text) != 100000 || text[26*1024] != 'a' {
		t.Errorf("%d bytes", len(text))
	}
	if status, text := send(t, "GET", address+"/slow?ms=1", "", "", ""); status != 200 || !strings.Contains(text, "waited_ms") {
		t.Error(status, text)
	}
	for _, path := range []string{"/slow?ms=x", "/slow?ms=-1", "/slow?ms=60001", "/bytes?n=-1", "/bytes", "/bytes?n=99999999999"} {
		if status, _ := send(t, "GET", address+path, "", "", ""); status != http.StatusBadRequest {
			t.Errorf("%s answered %d", path, status)
		}
	}
	if _, text := send(t, "POST", address+"/echo", "", "", "hello"); text != "hello" {
		t.Errorf("echo %q", text)
	}
	if _, text := send(t, "GET", address+"/public/ping", "", "", ""); !strings.Contains(text, "pong") {
		t.Errorf("ping %q", text)
	}
	if _, text := send(t, "GET", address+"/api/admin/billing", "acme", "r", ""); !strings.Contains(text, "invoices") {
		t.Errorf("billing %q", text)
	}
}

func TestWebSocketEchoes(t *testing.T) {
	address := start(t)
	c, resp, err := websocket.Dial(t.Context(), address+"/ws", nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	defer func() { _ = c.CloseNow() }()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if _, _, err := websocket.Dial(t.Context(), address+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}}); err == nil {
		t.Error("another origin's page got a WebSocket")
	}
}

func TestEventsTick(t *testing.T) {
	address := start(t)
	resp, err := http.Get(address + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if media := resp.Header.Get("Content-Type"); media != "text/event-stream" {
		t.Errorf("content type %q", media)
	}
	ticks := 0
	for lines := bufio.NewScanner(resp.Body); ticks < 2 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: {\"tick\":") {
			ticks++
		}
	}
	if ticks != 2 {
		t.Errorf("%d ticks", ticks)
	}
}

func TestHomeShowsTheIdentityEscaped(t *testing.T) {
	address := start(t)
	_, text := send(t, "GET", address+"/", "acme", "req_9", "")
	for _, want := range []string{"Mira &lt;Member&gt;", "m@acme", `id="tenant">acme`, "payments: team_member", "req_9", "/.gatehouse/console/", "/.gatehouse/logout", "/assets/app.js"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "<script>") || strings.Contains(text, "<style>") || strings.Contains(text, " onclick") {
		t.Error("the page has inline code")
	}
	if _, text := send(t, "GET", address+"/", "", "", ""); !strings.Contains(text, "no valid assertion") {
		t.Error("a page without identity does not say so")
	}
	for path, want := range map[string]string{"/assets/app.js": "EventSource", "/assets/app.css": ":root"} {
		if status, text := send(t, "GET", address+path, "", "", ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d", path, status)
		}
	}
}
