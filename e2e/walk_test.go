package e2e

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"gatehouse/demo"
)

// Browsers of the walk, by what they say of themselves.
const (
	phone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	laptop = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

const (
	apiPath     = ".gatehouse/api/v1/"
	billingPath = "api/admin/billing"
)

// agent makes every request of a browser say the same of itself.
type agent struct {
	name string
	next http.RoundTripper
}

func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", a.name)
	return a.next.RoundTrip(r)
}

// signedInOn is signedIn in a browser that calls itself by a name.
func signedInOn(t *testing.T, info demo.Info, tenant, email, userAgent string) *http.Client {
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	client.Transport = agent{userAgent, client.Transport}
	if err := info.SignIn(t.Context(), client, tenant, email); err != nil {
		t.Fatalf("sign in %s at %s: %v", email, tenant, err)
	}
	return client
}

// dataOf is the data folder of a demo.
func dataOf(info demo.Info) string { return filepath.Dir(filepath.Dir(info.CA)) }

// list is a page of the admin API.
type list[T any] struct {
	Items []T `json:"items"`
}

// listedSession is what the admin API says of a session.
type listedSession struct {
	ID   string `json:"id"`
	User struct {
		Email string `json:"email"`
	} `json:"user"`
	Device struct {
		ID      string `json:"id"`
		Kind    string `json:"kind"`
		OS      string `json:"os"`
		Browser string `json:"browser"`
	} `json:"device"`
	IP         string `json:"ip"`
	SignedInAt string `json:"signed_in_at"`
	Open       int    `json:"open_connections"`
}

// listedEvent is what the admin API says of an event.
type listedEvent struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
	Path      string `json:"path"`
	Actor     struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// sessionsOf lists a person's live sessions as an admin sees them.
func sessionsOf(t *testing.T, admin *http.Client, tenant demo.Tenant, email string) []listedSession {
	t.Helper()
	resp, body := get(t, admin, tenant.URL+apiPath+"sessions")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("list sessions: %s: %s", resp.Status, body)
	}
	return slices.DeleteFunc(decode[list[listedSession]](t, body).Items, func(s listedSession) bool { return s.User.Email != email })
}

// asBrowser asks for a page as somebody who follows a link does.
var asBrowser = []string{"Accept", "text/html,application/xhtml+xml", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}

// TestWalk is the walk of docs/walk.md as a plain HTTP client goes it.
func TestWalk(t *testing.T) {
	info := inProcess(t).Info()
	for _, step := range []struct {
		name string
		walk func(*testing.T, demo.Info)
	}{
		{"TheAppSeesWhoSignedIn", walkSignIn},
		{"P2_SigningADeviceOutClosesWhatItHasOpen", walkSignOut},
		{"P9_DeprovisioningEndsSessionsBeforeItsAnswer", walkDeprovision},
		{"ARefusalIsFoundByItsEvent", walkRefusal},
		{"TheJournalTellsAndProvesItself", walkJournal}, // the last: it harms the journal
	} {
		t.Run(step.name, func(t *testing.T) { step.walk(t, info) })
	}
}

func walkSignIn(t *testing.T, info demo.Info) {
	for tenant, email := range map[string]string{"acme": member, "globex": "member@globex.example"} {
		client := signedIn(t, info, tenant, email)
		resp, page := get(t, client, info.Tenants[tenant].URL, asBrowser...)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s", tenant, resp.Status, page)
		}
		for _, want := range []string{"Max Member", email, `<strong id="tenant">` + tenant, "assertion verified", "payments: team_admin", "/.gatehouse/console/"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s: the app's page lacks %q", tenant, want)
			}
		}
	}
}

func walkSignOut(t *testing.T, info demo.Info) {
	acme := info.Tenants["acme"]
	hers := signedInOn(t, info, "acme", member, phone)
	admin := signedInOn(t, info, "acme", owner, laptop)
	socket, stream := openBoth(t, hers, acme.URL)
	log := openEvents(t, admin, acme.URL+apiPath+"audit/stream")

	found := sessionsOf(t, admin, acme, member)
	onPhone := slices.IndexFunc(found, func(s listedSession) bool { return s.Device.Kind == "phone" })
	if onPhone < 0 {
		t.Fatalf("the owner sees %+v", found)
	}
	s := found[onPhone]
	if s.Device.OS != "iOS" || s.Device.Browser != "Safari" || s.IP != "127.0.0.1" || s.SignedInAt == "" || s.Open < 2 {
		t.Errorf("the owner sees %+v", s)
	}

	resp, body := do(t, admin, request(t, http.MethodDelete, acme.URL+apiPath+"devices/"+s.Device.ID, ""))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("sign out: %s: %s", resp.Status, body)
	}
	answer := decode[struct {
		Sessions    int    `json:"sessions"`
		Connections int    `json:"connections_closed"`
		EventID     string `json:"event_id"`
	}](t, body)
	if answer.Sessions != 1 || answer.Connections < 2 {
		t.Errorf("the answer says %+v", answer)
	}
	// The very next request is refused: nothing is waited for here.
	if resp, _ := get(t, hers, acme.URL+"api/whoami"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the sign-out the app answered %s", resp.Status)
	}
	cutOff(t, socket)
	stream.ends(t)
	if resp, page := get(t, hers, acme.URL, asBrowser...); resp.Request.URL.Host == "acme.localhost" || !strings.Contains(string(page), `name="password"`) {
		t.Errorf("the next click came to %s", resp.Request.URL)
	}
	log.await(t, `"id":"`+answer.EventID+`"`)
	if left := sessionsOf(t, admin, acme, member); len(left) != len(found)-1 {
		t.Errorf("the owner still sees %+v", left)
	}
}

// openBoth opens the app's WebSocket and event stream, and reads from both.
func openBoth(t *testing.T, client *http.Client, base string) (*websocket.Conn, *events) {
	t.Helper()
	// A WebSocket is HTTP/1.1, and neither ends by a client's timeout.
	patient := *client
	patient.Timeout = 0
	socket, _, err := websocket.Dial(t.Context(), strings.Replace(base, "https", "wss", 1)+"ws", &websocket.DialOptions{HTTPClient: &patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.CloseNow() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := socket.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := socket.Read(ctx); err != nil || string(text) != "hello" {
		t.Fatalf("the echo was %q, %v", text, err)
	}
	stream := openEvents(t, client, base+"events")
	stream.await(t, "event: tick")
	return socket, stream
}

// cutOff reads a WebSocket to its end, which must be that of a sign-out.
func cutOff(t *testing.T, socket *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	for err == nil {
		_, _, err = socket.Read(ctx)
	}
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("the WebSocket ended with %v", err)
	}
}

func walkDeprovision(t *testing.T, info demo.Info) {
	acme := info.Tenants["acme"]
	hers := signedIn(t, info, "acme", member)
	socket, _ := openBoth(t, hers, acme.URL)
	outside, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	scim := func(method, path, body string, want int) []byte {
		t.Helper()
		resp, answer := do(t, outside, request(t, method, acme.SCIM+path, body,
			"Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
		}
		return answer
	}
	type resource struct {
		ID      string `json:"id"`
		Active  bool   `json:"active"`
		Members []struct {
			Value string `json:"value"`
		} `json:"members"`
	}
	created := decode[resource](t, scim(http.MethodPost, "/Users",
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"nina@acme.example","name":{"givenName":"Nina","familyName":"New"},"emails":[{"value":"nina@acme.example","primary":true}],"active":true}`, http.StatusCreated))
	group := decode[resource](t, scim(http.MethodPost, "/Groups",
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Night shift","members":[{"value":"`+created.ID+`"}]}`, http.StatusCreated))
	if len(group.Members) != 1 || group.Members[0].Value != created.ID {
		t.Errorf("the group has the members %v", group.Members)
	}
	people := decode[struct {
		Resources []resource `json:"Resources"`
	}](t, scim(http.MethodGet, "/Users?filter=userName+eq+%22"+member+"%22", "", http.StatusOK)).Resources
	if len(people) != 1 || !people[0].Active {
		t.Fatalf("the member is found as %+v", people)
	}
	activate := func(active string) {
		t.Helper()
		scim(http.MethodPatch, "/Users/"+people[0].ID,
			`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":`+active+`}}]}`, http.StatusOK)
	}
	whoami := func() int {
		t.Helper()
		resp, _ := get(t, hers, acme.URL+"api/whoami")
		return resp.StatusCode
	}
	if got := whoami(); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	activate("false")
	if got := whoami(); got != http.StatusUnauthorized {
		t.Errorf("after the deactivation was answered, the app answered %d", got)
	}
	cutOff(t, socket)
	admin := signedIn(t, info, "acme", owner)
	if left := sessionsOf(t, admin, acme, member); len(left) != 0 {
		t.Errorf("the owner sees sessions of a deactivated person: %+v", left)
	}
	if again, err := info.Client(); err != nil || info.SignIn(t.Context(), again, "acme", member) == nil {
		t.Errorf("a deactivated person signed in; %v", err)
	}
	activate("true")
	if got := whoami(); got != http.StatusUnauthorized {
		t.Errorf("reactivation revived the session: %d", got)
	}
	signedIn(t, info, "acme", member) // a new one it is
}

func walkRefusal(t *testing.T, info demo.Info) {
	acme := info.Tenants["acme"]
	hers := signedIn(t, info, "acme", member)
	admin := signedIn(t, info, "acme", owner)
	find := func(id string) listedEvent {
		t.Helper()
		resp, body := get(t, admin, acme.URL+apiPath+"audit/events/"+id)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("event %q: %s: %s", id, resp.Status, body)
		}
		return decode[listedEvent](t, body)
	}

	resp, body := get(t, hers, acme.URL+billingPath, "Accept", "application/json")
	if media := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusForbidden || !strings.HasPrefix(media, "application/problem+json") {
		t.Fatalf("an API client got %s, %s: %s", resp.Status, media, body)
	}
	problem := decode[struct {
		Status  int    `json:"status"`
		EventID string `json:"event_id"`
	}](t, body)
	e := find(problem.EventID)
	if problem.Status != http.StatusForbidden || e.Type != "access.refused" || e.Reason == "" || e.Path != "/"+billingPath || e.Actor.Name == "" ||
		e.RequestID != resp.Header.Get("X-Gatehouse-Request-Id") {
		t.Errorf("the owner finds %+v of %+v", e, problem)
	}

	resp, page := get(t, hers, acme.URL+billingPath, asBrowser...)
	if media := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusForbidden || !strings.HasPrefix(media, "text/html") {
		t.Fatalf("a browser got %s, %s: %s", resp.Status, media, page)
	}
	_, after, found := strings.Cut(string(page), "evt_")
	id, _, _ := strings.Cut(after, "<")
	if e := find("evt_" + id); !found || e.Type != "access.refused" {
		t.Errorf("the page's event %q is %+v", id, e)
	}
	if resp, body := get(t, admin, acme.URL+billingPath); resp.StatusCode != http.StatusOK {
		t.Errorf("the owner got %s: %s", resp.Status, body)
	}
}

func walkJournal(t *testing.T, info demo.Info) {
	acme, data := info.Tenants["acme"], dataOf(info)
	hers := signedIn(t, info, "acme", member)
	if resp, body := get(t, hers, acme.URL+billingPath); resp.StatusCode != http.StatusForbidden {
		t.Fatalf("billing: %s: %s", resp.Status, body)
	}
	admin := signedIn(t, info, "acme", owner)
	do(t, admin, request(t, http.MethodDelete, acme.URL+apiPath+"devices/"+sessionsOf(t, admin, acme, member)[0].Device.ID, ""))

	tail, stderr, code := gatehouse(t, "audit", "tail", "--tenant", "acme", "--data", data)
	if code != 0 {
		t.Fatalf("audit tail: exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"signin.succeeded", "device.new", "access.allowed", "access.refused", "session.revoked", "/" + billingPath, "token.created"} {
		if !strings.Contains(tail, want) {
			t.Errorf("audit tail lacks %q", want)
		}
	}
	if out, stderr, code := gatehouse(t, "audit", "verify", "--data", data); code != 0 || strings.Count(out, ": whole, ") != 3 {
		t.Fatalf("audit verify: exit code %d: %s%s", code, out, stderr)
	}

	file := acmeJournal(t, data)
	flipByte(t, file)
	out, stderr, code := gatehouse(t, "audit", "verify", "--tenant", "acme", "--data", data)
	if said := out + stderr; code != 1 || !strings.Contains(said, file) || !strings.Contains(said, "byte ") || !strings.Contains(said, "record ") {
		t.Errorf("one flipped byte: exit code %d: %s", code, said)
	}
}

// flipByte changes one bit in the middle of a file.
func flipByte(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // written through before
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	one, middle := make([]byte, 1), info.Size()/2
	if _, err := f.ReadAt(one, middle); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 1
	if _, err := f.WriteAt(one, middle); err != nil {
		t.Fatal(err)
	}
}

// acmeJournal finds the file of acme's journal: the one that holds the most,
// as everything of these tests happens there.
func acmeJournal(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "journal", "*", "*", "*.journal"))
	if err != nil || len(files) == 0 {
		t.Fatal(errors.Join(err, os.ErrNotExist))
	}
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	return slices.MaxFunc(files, func(a, b string) int { return int(size(a) - size(b)) })
}
