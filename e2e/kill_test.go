package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	kills     = 20
	browsing  = 3                  // visitors who are never signed out
	visitors  = 8                  // at the start
	sessionIn = "__Host-gatehouse" // the session's cookie
)

// promised is everything that the gateway has answered with success or named
// an event for: what must be there after it was killed.
type promised struct {
	mu      sync.Mutex
	events  map[string]string // event id: what it was about
	people  map[string]bool   // SCIM id: active
	live    []*visitor        // signed in
	ended   []*visitor        // signed out, and told so
	dubious map[string]bool   // SCIM ids with a change that was never answered
}

// visitor is a browser that holds a session.
type visitor struct {
	client  *http.Client
	session string
}

func (p *promised) event(id, about string) {
	if id == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events[id] = about
}

func (p *promised) signedIn(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = append(p.live, v)
}

// leaving takes a visitor who will be signed out: until that is answered,
// nobody can tell whether the session lives.
func (p *promised) leaving(atLeast int) *visitor {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.live) <= atLeast {
		return nil
	}
	v := p.live[len(p.live)-1]
	p.live = p.live[:len(p.live)-1]
	return v
}

func (p *promised) left(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, v)
}

func (p *promised) person(id string, active, sure bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[id], p.dubious[id] = active, !sure
}

// load drives one running gateway; its workers end when the gateway does.
type load struct {
	*promised

	h    *house
	acme string // URL
}

// call sends a request and gives the answer's status and body; ok is false when
// no whole answer came.
func (l load) call(ctx context.Context, client *http.Client, method, address, body string, headers ...string) (status int, answer []byte, ok bool) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return 0, nil, false
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, false
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	var told struct {
		EventID string `json:"event_id"`
	}
	if err == nil && json.Unmarshal(answer, &told) == nil {
		l.event(told.EventID, fmt.Sprintf("%s %s: %s", method, address, resp.Status))
	}
	return resp.StatusCode, answer, err == nil
}

// browse uses a session for what it may do and for what it may not.
func (l load) browse(ctx context.Context, v *visitor) {
	for ok := true; ok; {
		_, _, ok = l.call(ctx, v.client, http.MethodGet, l.acme+"api/teams/payments/alerts", "")
		if ok {
			_, _, ok = l.call(ctx, v.client, http.MethodGet, l.acme+"api/admin/billing", "")
		}
	}
}

// token uses an API token, and a wrong one.
func (l load) token(ctx context.Context, client *http.Client) {
	for ok := true; ok; {
		_, _, ok = l.call(ctx, client, http.MethodPost, l.acme+"echo", "hello", "Authorization", "Bearer "+l.h.Tenants["acme"].APIToken)
		if ok {
			_, _, ok = l.call(ctx, client, http.MethodGet, l.acme+"public/ping", "")
		}
		if ok {
			_, _, ok = l.call(ctx, client, http.MethodGet, l.acme+"api/whoami", "", "Authorization", "Bearer gh_"+strings.Repeat("x", 43))
		}
	}
}

// comeAndGo signs people out, in both ways, and others in.
func (l load) comeAndGo(ctx context.Context) {
	for n := rand.N(2); ctx.Err() == nil; n++ { // #nosec G404 -- a choice, not a secret
		if v := l.leaving(browsing); v != nil && l.signOut(ctx, v, n%2 == 0) {
			l.left(v)
		}
		client, err := l.h.Client()
		if err != nil {
			return
		}
		err = l.h.SignIn(ctx, client, "acme", member)
		// The cookie is the acknowledgement: where the walk broke off after it, the
		// session must be there nevertheless.
		if cookieOf(client, l.acme) != "" {
			l.signedIn(&visitor{client: client})
		}
		if err != nil {
			return
		}
	}
}

// signOut ends a visitor's session, as an admin does by the API or as the
// visitor does in the browser, and reports whether that was acknowledged.
func (l load) signOut(ctx context.Context, v *visitor, byAdmin bool) bool {
	var status int
	var ok bool
	if byAdmin {
		status, _, ok = l.call(ctx, v.client, http.MethodDelete, l.acme+".gatehouse/api/v1/sessions/"+v.session, "", "Authorization", "Bearer "+l.h.Tenants["acme"].APIToken)
		return ok && status == http.StatusOK
	}
	browser := *v.client
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	browser.Jar = frozen{v.client.Jar} // so that the cookie is there to be tried afterwards
	status, _, ok = l.call(ctx, &browser, http.MethodPost, l.acme+".gatehouse/logout", "", "Sec-Fetch-Site", "same-origin")
	return ok && status == http.StatusSeeOther
}

// frozen is a jar that keeps what it has.
type frozen struct{ http.CookieJar }

func (frozen) SetCookies(*url.URL, []*http.Cookie) {}

func cookieOf(client *http.Client, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	for _, c := range client.Jar.Cookies(u) {
		if c.Name == sessionIn {
			return c.Value
		}
	}
	return ""
}

// session asks the app under which session it was reached.
func (l load) session(ctx context.Context, v *visitor) string {
	_, body, ok := l.call(ctx, v.client, http.MethodGet, l.acme+"api/whoami", "")
	var told struct {
		Headers http.Header `json:"headers"`
	}
	if !ok || json.Unmarshal(body, &told) != nil {
		return ""
	}
	return told.Headers.Get("X-Gatehouse-Session")
}

// provision creates people by SCIM and deactivates every other one.
func (l load) provision(ctx context.Context, client *http.Client, prefix string) {
	tenant := l.h.Tenants["acme"]
	auth := []string{"Authorization", "Bearer " + tenant.SCIMToken, "Content-Type", "application/scim+json"}
	for n := 0; ; n++ {
		status, body, ok := l.call(ctx, client, http.MethodPost, tenant.SCIM+"/Users",
			fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"%s-%d@acme.example","active":true}`, prefix, n), auth...)
		var made struct {
			ID string `json:"id"`
		}
		if !ok || status != http.StatusCreated || json.Unmarshal(body, &made) != nil {
			return
		}
		l.person(made.ID, true, true)
		if n%2 == 1 {
			continue
		}
		l.person(made.ID, false, false)
		status, _, ok = l.call(ctx, client, http.MethodPatch, tenant.SCIM+"/Users/"+made.ID,
			`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":false}}]}`, auth...)
		if !ok || status >= 300 {
			return
		}
		l.person(made.ID, false, true)
	}
}

// run drives the gateway until it is killed, at a moment that nobody chose.
func (l load) run(t *testing.T, round int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := l.h.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	before := len(l.h.seen(t))
	var workers sync.WaitGroup
	for _, v := range l.live[:browsing] {
		workers.Go(func() { l.browse(ctx, v) })
	}
	workers.Go(func() { l.token(ctx, client) })
	workers.Go(func() { l.token(ctx, client) })
	workers.Go(func() { l.comeAndGo(ctx) })
	workers.Go(func() { l.provision(ctx, client, fmt.Sprintf("person-%d", round)) })
	for len(l.h.seen(t)) == before && ctx.Err() == nil {
		<-time.After(time.Millisecond)
	}
	<-time.After(rand.N(700 * time.Millisecond)) // #nosec G404 -- a moment, not a secret
	l.h.kill()
	cancel()
	workers.Wait()
}

// TestP1_KillNineUnderLoad kills the gateway at random moments under every kind
// of traffic. Whatever the app saw and whatever a client was told has its
// record (P1), and what was acknowledged is so after the next start (P8).
func TestP1_KillNineUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := &promised{events: map[string]string{}, people: map[string]bool{}, dubious: map[string]bool{}}
	for range visitors {
		p.signedIn(&visitor{client: signedIn(t, h.Info, "acme", member)})
	}
	l := load{p, h, h.Tenants["acme"].URL}
	for _, v := range p.live {
		v.session = l.session(t.Context(), v)
	}
	provisioned := 0
	for round := range kills {
		l.run(t, round)
		provisioned += len(p.people)
		signIns := l.recorded(t, round)
		h.start(t)
		l = load{p, h, h.Tenants["acme"].URL}
		l.kept(t, round, signIns)
		// Only now, since until a record follows a write that the kill cut short,
		// nobody can tell it from a record that somebody cut off.
		if out := h.run(t, "audit", "verify"); strings.Contains(out, "BROKEN") {
			t.Fatalf("kill %d: %s", round, out)
		}
		if t.Failed() {
			t.Fatalf("the gateway said:\n%s", h.stderr)
		}
	}
	if len(p.ended) == 0 || provisioned == 0 || len(p.events) == 0 {
		t.Errorf("the load was too light: %d signed out, %d people, %d events", len(p.ended), provisioned, len(p.events))
	}
	t.Logf("after %d kills: %d requests at the app, %d events and %d people acknowledged, %d sessions live and %d ended",
		kills, len(h.seen(t)), len(p.events), provisioned, len(p.live), len(p.ended))
}

// recorded reads the journal that a kill has left, and gives the sessions whose
// sign-in is in it: every request that the app saw has its record, and so has
// whatever a client was told.
func (l load) recorded(t *testing.T, round int) map[string]bool {
	t.Helper()
	events, requests, done, signIns := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, e := range l.h.journal(t, "acme") {
		events[e.ID], requests[e.RequestID], done[e.Type+" "+e.Target.ID] = true, true, true
		if e.Type == "signin.succeeded" {
			signIns[e.Session] = true
		}
	}
	delete(requests, "") // of records that are about no request
	for _, a := range l.h.seen(t) {
		if !requests[a.RequestID] {
			t.Errorf("kill %d: the app saw %+v, of which there is no record", round, a)
		}
	}
	for id, about := range l.events {
		if !events[id] {
			t.Errorf("kill %d: event %s was acknowledged and is lost: %s", round, id, about)
		}
	}
	for id, active := range l.people {
		if !done["user.created "+id] || !active && !l.dubious[id] && !done["user.deactivated "+id] {
			t.Errorf("kill %d: the provisioning of %s (active: %v) has no record", round, id, active)
		}
	}
	return signIns
}

// kept looks at a gateway that was started again: who was signed in still is,
// and has the record of it; who was signed out stays out; people are as
// provisioned.
func (l load) kept(t *testing.T, round int, signIns map[string]bool) {
	t.Helper()
	for _, v := range l.live {
		v.client.CloseIdleConnections()
		if v.session = l.session(t.Context(), v); v.session == "" {
			t.Errorf("kill %d: a session that was acknowledged by its cookie is gone", round)
		} else if !signIns[v.session] {
			t.Errorf("kill %d: the sign-in of %s has no record", round, v.session)
		}
	}
	for _, v := range l.ended {
		v.client.CloseIdleConnections()
		if resp, _ := get(t, v.client, l.acme+"api/whoami"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("kill %d: session %s was signed out and answers %s", round, v.session, resp.Status)
		}
	}
	client, err := l.h.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	tenant := l.h.Tenants["acme"]
	for id, active := range l.people {
		resp, body := get(t, client, tenant.SCIM+"/Users/"+id, "Authorization", "Bearer "+tenant.SCIMToken)
		if resp.StatusCode != http.StatusOK || !l.dubious[id] && decode[struct{ Active bool }](t, body).Active != active {
			t.Errorf("kill %d: person %s, active %v, is answered with %s: %s", round, id, active, resp.Status, body)
		}
	}
	clear(l.people) // they were looked at; the next round makes new ones
}
