package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// revocationAnswer is the contract's, and nothing else.
type revocationAnswer struct {
	Sessions    *int `json:"sessions"`
	Devices     *int `json:"devices"`
	Connections *int `json:"connections_closed"`
	Nodes       []struct {
		ID        string `json:"id"`
		Confirmed any    `json:"confirmed"`
	} `json:"nodes"`
	TookMS  *float64 `json:"took_ms"`
	EventID string   `json:"event_id"`
}

// admin calls the tenant's admin API with its owner token.
func (b *probed) admin(t *testing.T, tenant, method, path, body string) (*http.Response, []byte) {
	t.Helper()
	at := b.Info().Tenants[tenant]
	return do(t, b.h2, request(t, method, at.URL+".gatehouse/api/v1/"+path, body, "Authorization", "Bearer "+at.APIToken))
}

// revoke calls the admin API and checks the form of its answer.
func (b *probed) revoke(t *testing.T, tenant, method, path, body string) revocationAnswer {
	t.Helper()
	resp, text := b.admin(t, tenant, method, path, body)
	for until := time.Now().Add(patience); resp.StatusCode == http.StatusServiceUnavailable && time.Now().Before(until); {
		// On a machine that stands still, the gate says that it is not sure yet.
		resp, text = b.admin(t, tenant, method, path, body)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %s: %s: %s", method, path, body, resp.Status, text)
	}
	answer, err := readRevocation(text)
	if err != nil || len(answer.Nodes) != 1 || answer.Nodes[0].Confirmed != true {
		t.Fatalf("%v: %s", err, text)
	}
	return answer
}

func readRevocation(text []byte) (answer revocationAnswer, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		return answer, fmt.Errorf("the answer has another form: %w", err)
	}
	if answer.Sessions == nil || answer.Devices == nil || answer.Connections == nil || answer.TookMS == nil || answer.EventID == "" || len(answer.Nodes) == 0 {
		return answer, errors.New("the answer lacks something")
	}
	for _, n := range answer.Nodes {
		if n.ID == "" || n.Confirmed != true && n.Confirmed != "lease_expired" {
			return answer, errors.New("the answer says something else of a node")
		}
	}
	return answer, nil
}

func TestP2_RevokingAPersonClosesExactlyTheirs(t *testing.T) {
	b := startProbed(t)
	const people, seats = 40, 200
	users := make([]identity.UserID, people)
	for i := range users {
		users[i] = b.person(t, "acme", fmt.Sprintf("person%d", i))
	}
	theirs, others := map[*seat][]*connection{}, map[*seat][]*connection{}
	for i := range seats {
		s := b.sit(t, "acme", users[i%people])
		open := []*connection{s.webSocket(t)}
		if i%4 == 0 { // 50 of them, the first person's included
			client, kind := b.h1, "events"
			if i/people%2 == 1 {
				client, kind = b.h2, "events h2"
			}
			open = append(open, s.stream(t, client, kind, "/events"))
		}
		if i%people == 0 {
			theirs[s] = open
		} else {
			others[s] = open
		}
	}
	answer := b.revoke(t, "acme", http.MethodPost, "sessions/revoke", `{"user":"`+string(users[0])+`"}`)
	for s, open := range theirs {
		s.over(t, open)
	}
	if *answer.Sessions != seats/people || *answer.Devices != seats/people || *answer.Connections != 2*seats/people {
		t.Errorf("the answer counts %d sessions on %d devices with %d connections", *answer.Sessions, *answer.Devices, *answer.Connections)
	}
	for _, open := range others {
		for _, c := range open {
			c.alive(t)
		}
	}
	if resp, event := b.admin(t, "acme", http.MethodGet, "audit/events/"+answer.EventID, ""); resp.StatusCode != http.StatusOK || !strings.Contains(string(event), string(users[0])) {
		t.Errorf("the answer's event: %s: %s", resp.Status, event)
	}
	if leaks := b.app.leaks(); len(leaks) > 0 {
		t.Errorf("reached the app after the answer: %v", leaks)
	}
}

// hammer sends requests without a pause, until two that were sent after the
// answer have been refused themselves, and counts those that got through before.
// Of a node that cannot say who is signed in (P7), or does not answer, it waits
// for more.
func hammer(ctx context.Context, at func() door, client *http.Client, began chan<- struct{}, answered *atomic.Bool, through *atomic.Int64) (wrong error) {
	for refused, first := 0, true; refused < 2; first = false {
		after := answered.Load()
		req := at().request(ctx, http.MethodGet, "/", nil)
		if after {
			req.Header.Set("X-Sent", late)
		}
		resp, err := client.Do(req)
		if first {
			began <- struct{}{}
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			breathe(ctx) // cut in its midst, or nobody is there
			continue
		}
		word, _ := io.ReadAll(resp.Body) // it may be cut
		_ = resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusOK && (after || string(word) == late):
			return errors.New("got 200 after the answer: " + string(word))
		case resp.StatusCode == http.StatusOK:
			through.Add(1)
		case resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusTooManyRequests: // many of those who are not signed in
			breathe(ctx)
		case resp.StatusCode != http.StatusUnauthorized:
			return errors.New("got " + resp.Status)
		case after:
			refused++
		}
	}
	return nil
}

// breathe keeps whoever tries again at once from taking the machine.
func breathe(ctx context.Context) {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
}

// TestP2_AHammeringClientGetsNothingAfterTheAnswer makes 1,000 trials, in two
// tenants side by side.
func TestP2_AHammeringClientGetsNothingAfterTheAnswer(t *testing.T) {
	b := startProbed(t)
	const rounds, seats = 250, 2
	var through atomic.Int64
	var both sync.WaitGroup
	for _, tenant := range []string{"acme", "globex"} {
		user := b.person(t, tenant, "hammer")
		both.Go(func() {
			for n := range rounds {
				sitting := [seats]*seat{b.sit(t, tenant, user), b.sit(t, tenant, user)}
				if b.round(t, n, sitting, &through); t.Failed() {
					return
				}
			}
		})
	}
	both.Wait()
	if through.Load() < 2*rounds*seats {
		t.Errorf("only %d requests got through before: the trials prove little", through.Load())
	}
	if leaks := b.app.leaks(); len(leaks) > 0 {
		t.Errorf("%d requests reached the app after the answer: %v", len(leaks), leaks[:min(len(leaks), 5)])
	}
}

// round signs two sessions of a person out while they hammer, one over HTTP/1.1
// and one over HTTP/2: by turns each by a call of its own, or both by one.
func (b *probed) round(t *testing.T, n int, sitting [2]*seat, through *atomic.Int64) {
	var all sync.WaitGroup
	var answered [len(sitting)]atomic.Bool
	began := make(chan struct{}, len(sitting))
	for i, client := range []*http.Client{b.h1, b.h2} {
		all.Go(func() {
			if err := hammer(t.Context(), func() door { return sitting[i].door }, client, began, &answered[i], through); err != nil {
				t.Errorf("round %d: %v", n, err)
			}
		})
	}
	for range sitting {
		<-began
	}
	for i, s := range sitting {
		switch n % 3 {
		case 0:
			b.revoke(t, s.tenant, http.MethodDelete, "sessions/"+string(s.session), "")
		case 1:
			b.revoke(t, s.tenant, http.MethodDelete, "devices/"+string(s.device), "")
		case 2:
			b.revoke(t, s.tenant, http.MethodPost, "sessions/revoke", `{"user":"`+string(s.user)+`"}`)
			answered[1].Store(true)
		}
		answered[i].Store(true)
	}
	all.Wait()
}

// TestP2_EveryWayOut opens everything that can be open, under sessions that are
// then ended in every way there is. Each way also leaves somebody else alone.
func TestP2_EveryWayOut(t *testing.T) {
	b := startProbed(t)
	ways := map[string]func(t *testing.T, s *seat){
		"session": func(t *testing.T, s *seat) {
			s.revoke(t, "acme", http.MethodDelete, "sessions/"+string(s.session), "")
		},
		"device": func(t *testing.T, s *seat) {
			s.revoke(t, "acme", http.MethodDelete, "devices/"+string(s.device), "")
		},
		"device by selector": func(t *testing.T, s *seat) {
			s.revoke(t, "acme", http.MethodPost, "sessions/revoke", `{"device":"`+string(s.device)+`"}`)
		},
		"device blocked": func(t *testing.T, s *seat) {
			s.must(t, http.MethodPatch, "devices/"+string(s.device), `{"blocked":true}`)
		},
		"person": func(t *testing.T, s *seat) {
			s.revoke(t, "acme", http.MethodPost, "sessions/revoke", `{"user":"`+string(s.user)+`"}`)
		},
		"P9 person deactivated": func(t *testing.T, s *seat) {
			s.must(t, http.MethodPatch, "users/"+string(s.user), `{"active":false}`)
		},
		"P9 person deleted": func(t *testing.T, s *seat) {
			s.must(t, http.MethodDelete, "users/"+string(s.user), "")
		},
		"P9 SCIM patch": func(t *testing.T, s *seat) {
			s.scim(t, http.MethodPatch, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}`)
		},
		"P9 SCIM put": func(t *testing.T, s *seat) {
			s.scim(t, http.MethodPut, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"put@acme.example","active":false}`)
		},
		"P9 SCIM delete": func(t *testing.T, s *seat) { s.scim(t, http.MethodDelete, "") },
		"signing out": func(t *testing.T, s *seat) {
			s.form(t, ".gatehouse/logout", url.Values{})
		},
		"own devices page": func(t *testing.T, s *seat) {
			s.form(t, ".gatehouse/devices", url.Values{"device": {string(s.device)}})
		},
		"others from the devices page": func(t *testing.T, s *seat) {
			s.sit(t, "acme", s.user).form(t, ".gatehouse/devices", url.Values{"others": {"yes"}})
		},
	}
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			s := b.sit(t, "acme", b.person(t, "acme", strings.ReplaceAll(name, " ", "-")))
			other := b.sit(t, "acme", b.person(t, "acme", strings.ReplaceAll(name, " ", "-")+"-other"))
			stays := other.webSocket(t)
			had := s.everything(t)
			leave(t, s)
			s.over(t, had)
			stays.alive(t)
		})
	}
	if leaks := b.app.leaks(); len(leaks) > 0 {
		t.Errorf("reached the app after the answer: %v", leaks)
	}
}

// must calls the admin API and wants success.
func (s *seat) must(t *testing.T, method, path, body string) {
	t.Helper()
	if resp, text := s.admin(t, s.tenant, method, path, body); resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
}

// scim provisions this person.
func (s *seat) scim(t *testing.T, method, body string) {
	t.Helper()
	at := s.Info().Tenants[s.tenant]
	resp, text := do(t, s.h2, request(t, method, at.SCIM+"/Users/"+string(s.user), body,
		"Authorization", "Bearer "+at.SCIMToken, "Content-Type", "application/scim+json"))
	if resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s: %s: %s", method, resp.Status, text)
	}
}

// form sends a form of our own pages, as a browser does.
func (s *seat) form(t *testing.T, path string, values url.Values) {
	t.Helper()
	req := s.request(t.Context(), http.MethodPost, path, strings.NewReader(values.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if resp, text := do(t, s.h2, req); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("POST %s: %s: %s", path, resp.Status, text)
	}
}

func TestP2_RevokingByConnectionOrAllSparesTheCaller(t *testing.T) {
	b := startProbed(t)
	for _, selector := range []string{`"connection":"oidc"`, `"all":true`} {
		a := b.sit(t, "acme", b.person(t, "acme", fmt.Sprintf("one%d", len(selector))))
		elsewhere := b.sit(t, "globex", b.person(t, "globex", fmt.Sprintf("two%d", len(selector))))
		stays := elsewhere.webSocket(t)
		had := a.everything(t)

		// The owner who presses the button keeps working.
		owner := signedIn(t, b.Info(), "acme", owner)
		req := request(t, http.MethodPost, b.Info().Tenants["acme"].URL+".gatehouse/api/v1/sessions/revoke", `{`+selector+`,"except_current":true}`,
			"Sec-Fetch-Site", "same-origin")
		if resp, text := do(t, owner, req); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, text)
		}
		a.over(t, had)
		stays.alive(t)
		if resp, _ := get(t, owner, b.Info().Tenants["acme"].URL+"whatever"); resp.StatusCode != http.StatusOK {
			t.Errorf("the caller's own session: %s", resp.Status)
		}
	}
}

func TestP2_ASuspendedOrDeletedTenantIsOut(t *testing.T) {
	b := startProbed(t)
	for _, way := range []struct{ name, tenant, method, body string }{
		{"suspended", "acme", http.MethodPatch, `{"status":"suspended"}`},
		{"deleted", "globex", http.MethodDelete, ""},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := b.sit(t, way.tenant, b.person(t, way.tenant, "somebody"))
			had := append(s.everything(t), b.tokenStream(t, way.tenant, b.Info().Tenants[way.tenant].APIToken))
			operator := b.Info().Operator
			resp, text := do(t, b.h2, request(t, way.method, operator.URL+".gatehouse/api/v1/platform/tenants/"+way.tenant, way.body,
				"Authorization", "Bearer "+operator.Token))
			if resp.StatusCode >= http.StatusMultipleChoices {
				t.Fatalf("%s: %s", resp.Status, text)
			}
			s.over(t, had)
		})
	}
}

// tokenStream is what a program has open by an API token, which is no session.
func (b *probed) tokenStream(t *testing.T, tenant, token string) *connection {
	t.Helper()
	resp, err := b.h1.Do(request(t, http.MethodGet, b.Info().Tenants[tenant].URL+"events", "", "Authorization", "Bearer "+token))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	c := newConnection("events of a token")
	go c.read(resp)
	t.Cleanup(func() { _ = resp.Body.Close(); <-c.ended })
	c.alive(t)
	return c
}

// TestP2_TimeLimitsCloseWhatIsOpen sets a limit that a session has reached
// already: one that was made older than it is, while no gateway ran.
func TestP2_TimeLimitsCloseWhatIsOpen(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	b := startProbedOn(t, data)
	acme := b.tenantID(t, "acme")
	s := b.sit(t, "acme", b.person(t, "acme", "late"))
	b.Close()
	age(t, data, acme, s.session)
	s.probed = startProbedOn(t, data)
	s.url = s.Info().Tenants["acme"].URL
	c := s.webSocket(t)
	if _, err := s.rooms.Tenants.Update(t.Context(), audit.SystemCause(), acme, 0, func(c *tenants.Tenant) error {
		c.Settings.Session.Absolute = tenants.Duration(time.Minute)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.ended: // without another request
	case <-time.After(patience):
		t.Fatal("the WebSocket outlived its session")
	}
	s.over(t, []*connection{c})
}

// age makes a session an hour older in a demo's database.
func age(t *testing.T, data string, tenant identity.TenantID, session identity.SessionID) {
	t.Helper()
	kek, err := keys.OpenFileKEK(filepath.Join(data, "kek.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	db := openStore(t, "sqlite://"+filepath.Join(data, "store"), keys.NewRing(kek, keys.ReadDirVault(filepath.Join(data, "keys"))))
	err = db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Exec(t.Context(), `UPDATE sessions SET created_at = created_at - 3600000 WHERE id = $1`, session)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d sessions are %s", n, session)
		}
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
