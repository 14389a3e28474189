package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
)

func TestP2_RevocationAnswersOnceItHolds(t *testing.T) {
	h := newHouse(t)
	owner, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "member", "member")
	member.do("GET", "me", nil).want(http.StatusOK)

	r := owner.do("DELETE", "devices/"+string(member.signed.Device.ID), nil).want(http.StatusOK)
	var answer map[string]any
	if err := json.Unmarshal(r.body, &answer); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sessions", "devices", "connections_closed", "nodes", "took_ms", "event_id"} {
		if _, ok := answer[name]; !ok {
			t.Errorf("the answer lacks %s: %s", name, r.body)
		}
	}
	if len(answer) != 6 || answer["sessions"] != 1.0 || answer["devices"] != 1.0 {
		t.Errorf("answer %s", r.body)
	}
	nodes, _ := answer["nodes"].([]any)
	if len(nodes) != 1 || nodes[0].(map[string]any)["confirmed"] != true { //nolint:errcheck // a wrong type fails the test as well
		t.Errorf("nodes %v", answer["nodes"])
	}
	member.do("GET", "me", nil).want(http.StatusUnauthorized)
	id, _ := answer["event_id"].(string)
	e := into[audit.Event](owner.do("GET", "audit/events/"+id, nil).want(http.StatusOK))
	if e.Type != audit.SessionsRevoked || e.Actor.ID != string(owner.user.ID) {
		t.Errorf("event %+v", e)
	}
}

func TestConfirmationForms(t *testing.T) {
	for confirmed, want := range map[confirmation]string{true: "true", false: `"lease_expired"`} {
		if got, err := json.Marshal(confirmed); err != nil || string(got) != want {
			t.Errorf("%v is written %s, %v", confirmed, got, err)
		}
	}
}

func TestRevokeChoosesExactlyOne(t *testing.T) {
	h := newHouse(t)
	owner, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "member", "")
	other := h.again(h.acme, member.user)
	owner.do("POST", "sessions/revoke", map[string]any{}).problem(http.StatusBadRequest, "choose-one")
	owner.do("POST", "sessions/revoke", map[string]any{"all": true, "user": "x"}).problem(http.StatusBadRequest, "choose-one")
	owner.do("POST", "sessions/revoke", map[string]any{"connection": "none"}).want(http.StatusNotFound)
	owner.do("POST", "sessions/revoke", map[string]any{"group": "grp_none"}).want(http.StatusNotFound)
	owner.do("POST", "sessions/revoke", map[string]any{"team": "none"}).want(http.StatusNotFound)
	owner.do("POST", "sessions/revoke", map[string]any{"network": "192.0.2.0/24", "all": true}).problem(http.StatusBadRequest, "choose-one")
	for _, network := range []string{"192.0.2.0/33", "::ffff:192.0.2.0/120", "fe80::1%eth0", "everywhere"} {
		owner.do("POST", "sessions/revoke", map[string]any{"network": network}).problem(http.StatusBadRequest, "bad-network")
	}
	for _, nobody := range []map[string]any{{"network": "198.51.100.0/24"}, {"network": "198.51.100.9"}, {"before": "2020-01-01T00:00:00Z"}} {
		if done := into[revocationSeen](owner.do("POST", "sessions/revoke", nobody).want(http.StatusOK)); done.Sessions != 0 {
			t.Errorf("%v: %+v", nobody, done)
		}
	}

	done := into[revocationSeen](owner.do("POST", "sessions/revoke", map[string]any{"user": member.user.ID}).want(http.StatusOK))
	if done.Sessions != 2 || done.Devices != 2 {
		t.Errorf("revoked %+v", done)
	}
	member.do("GET", "me", nil).want(http.StatusUnauthorized)
	other.do("GET", "me", nil).want(http.StatusUnauthorized)

	owner.do("POST", "sessions/revoke", map[string]any{"all": true, "except_current": true}).want(http.StatusOK)
	owner.do("GET", "me", nil).want(http.StatusOK)
	owner.do("POST", "sessions/revoke", map[string]any{"all": true}).want(http.StatusOK)
	owner.do("GET", "me", nil).want(http.StatusUnauthorized)
}

// revocationSeen is the answer as a client reads it.
type revocationSeen struct {
	Sessions    int    `json:"sessions"`
	Devices     int    `json:"devices"`
	Connections int    `json:"connections_closed"`
	Nodes       []any  `json:"nodes"`
	TookMS      int64  `json:"took_ms"`
	EventID     string `json:"event_id"`
}

func TestSessionsSayWhoAndWhere(t *testing.T) {
	h := newHouse(t)
	owner, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "member", "member")
	found := into[page[session]](owner.do("GET", "sessions", nil).want(http.StatusOK))
	if len(found.Items) != 2 || found.NextCursor != "" {
		t.Fatalf("found %+v", found)
	}
	s := found.Items[0] // the latest sign-in first
	if s.User.Email != "member@acme.example" || s.User.Name != "member" || s.Device.Browser != "Chrome" || s.Device.OS != "Linux" ||
		s.Device.Kind != "desktop" || s.IP != "203.0.113.7" || s.Current || s.ID != member.signed.Session.ID {
		t.Errorf("session %+v", s)
	}
	if !found.Items[1].Current {
		t.Errorf("own session %+v", found.Items[1])
	}
	first := into[page[session]](owner.do("GET", "sessions?limit=1", nil).want(http.StatusOK))
	second := into[page[session]](owner.do("GET", "sessions?limit=1&cursor="+first.NextCursor, nil).want(http.StatusOK))
	if len(first.Items) != 1 || len(second.Items) != 1 || first.Items[0].ID == second.Items[0].ID || second.NextCursor != "" {
		t.Errorf("pages %+v, %+v", first, second)
	}
	if by := into[page[session]](owner.do("GET", "sessions?user="+string(member.user.ID), nil)); len(by.Items) != 1 {
		t.Errorf("filtered by user: %+v", by)
	}
	if none := into[page[session]](owner.do("GET", "sessions?ip=198.51.100.1", nil)); len(none.Items) != 0 {
		t.Errorf("filtered by ip: %+v", none)
	}
	owner.do("GET", "sessions?ip=nonsense", nil).problem(http.StatusBadRequest, "bad-ip")
	owner.do("GET", "sessions?limit=1000", nil).problem(http.StatusUnprocessableEntity, "invalid-request")
	owner.do("GET", "sessions?unknown=1", nil).problem(http.StatusUnprocessableEntity, "invalid-request")
	if all := into[page[session]](owner.do("GET", "sessions?state=all", nil).want(http.StatusOK)); len(all.Items) != 2 {
		t.Errorf("all: %+v", all)
	}
}

func TestOwnDevicesAndSessions(t *testing.T) {
	h := newHouse(t)
	mine, owner := h.signIn(h.acme, "member", ""), h.signIn(h.acme, "owner", "owner")
	other := h.again(h.acme, mine.user)

	if seen := into[page[device]](mine.do("GET", "me/devices", nil).want(http.StatusOK)); len(seen.Items) != 2 {
		t.Fatalf("devices %+v", seen)
	}
	mine.do("PATCH", "me/devices/"+string(other.signed.Device.ID), map[string]any{"name": "Laptop"}).want(http.StatusOK)
	// Another person's is not there, whatever is tried.
	mine.do("DELETE", "me/devices/"+string(owner.signed.Device.ID), nil).want(http.StatusNotFound)
	mine.do("PATCH", "me/devices/"+string(owner.signed.Device.ID), map[string]any{"name": "x"}).want(http.StatusNotFound)
	mine.do("DELETE", "me/sessions/"+string(owner.signed.Session.ID), nil).want(http.StatusNotFound)
	owner.do("GET", "me", nil).want(http.StatusOK)

	mine.do("POST", "me/sessions/revoke-others", nil).want(http.StatusOK)
	other.do("GET", "me", nil).want(http.StatusUnauthorized)
	mine.do("GET", "me", nil).want(http.StatusOK)
	h.bearer(h.acme, "owner").do("GET", "me/devices", nil).problem(http.StatusForbidden, "not-a-person")
}

func TestTokensSeeTheirRole(t *testing.T) {
	h := newHouse(t)
	who := into[me](h.bearer(h.acme, "viewer").do("GET", "me", nil).want(http.StatusOK))
	if who.Kind != identity.KindAPIToken || !slices.Equal(who.Roles, []string{"viewer"}) {
		t.Errorf("%+v", who)
	}
}

func TestBlockingADeviceSignsItOut(t *testing.T) {
	h := newHouse(t)
	owner, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "member", "")
	path := "devices/" + string(member.signed.Device.ID)
	if d := into[device](owner.do("PATCH", path, map[string]any{"blocked": true}).want(http.StatusOK)); !d.Blocked {
		t.Errorf("device %+v", d)
	}
	member.do("GET", "me", nil).want(http.StatusUnauthorized)
	owner.do("PATCH", path, map[string]any{"name": "lost"}).want(http.StatusOK)
	if ended := h.recorded(h.acme, audit.SessionsRevoked); len(ended) != 1 {
		t.Errorf("%d revocations are recorded", len(ended))
	}
}

// follow opens the stream of events, after the one of an id if there is one.
func (v *visitor) follow(last identity.EventID) *bufio.Scanner {
	v.h.t.Helper()
	ctx, cancel := context.WithCancel(v.h.t.Context())
	v.h.t.Cleanup(cancel)
	response, err := v.server.Client().Do(v.request(ctx, "GET", "audit/stream", nil, "Accept", "text/event-stream", "Last-Event-ID", string(last)))
	if err != nil {
		v.h.t.Fatal(err)
	}
	v.h.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		v.h.t.Fatalf("status %d, %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || lines.Text() != "retry: 2000" {
		v.h.t.Fatalf("begins with %q", lines.Text())
	}
	return lines
}

func TestStreamGoesOnAfterTheLastEventSeen(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	teams := func(names ...string) {
		for _, name := range names {
			owner.do("POST", "teams", map[string]any{"name": name}).want(http.StatusCreated)
		}
	}
	teams("seen", "missed", "also")
	last := h.recorded(h.acme, audit.TeamCreated)[0]
	lines := owner.follow(last.ID)
	teams("new")
	var got []string
	for len(got) < 3 && lines.Scan() {
		var e audit.Event
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.Type != audit.TeamCreated {
				t.Fatalf("%s, %v", data, err)
			}
			got = append(got, e.Target.Name)
		}
	}
	if !slices.Equal(got, []string{"missed", "also", "new"}) {
		t.Errorf("after the event that was seen: %v", got)
	}
	// Another tenant's event, like one that never was, has nothing after it (P3).
	theirs := h.signIn(h.globex, "owner", "owner")
	for _, id := range []identity.EventID{last.ID, "evt_none"} {
		lines := theirs.follow(id)
		theirs.do("POST", "teams", map[string]any{"name": "t" + string(id[4:])}).want(http.StatusCreated)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var e audit.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.Tenant != h.globex.ID {
				t.Fatalf("after %s: %s, %v", id, data, err)
			}
			if e.Type == audit.TeamCreated { // their sign-in may be on its way into the log still
				if e.Target.Name != "t"+string(id[4:]) {
					t.Errorf("after %s: %s", id, data)
				}
				break
			}
		}
	}
	owner.do("GET", "audit/stream", nil, "Accept", "text/event-stream", "Last-Event-ID", strings.Repeat("x", 65)).problem(http.StatusUnprocessableEntity, "invalid-request")
}

func TestStreamTellsOfNewEventsAndEndsWithItsSession(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	stranger := h.signIn(h.globex, "owner", "owner")
	lines := admin.follow("")
	// Another tenant's events never show here (P3).
	stranger.do("POST", "teams", map[string]any{"name": "theirs"}).want(http.StatusCreated)
	owner.do("POST", "teams", map[string]any{"name": "ours"}).want(http.StatusCreated)
	var seen audit.Event
	for lines.Scan() && seen.Type != audit.TeamCreated {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &seen); err != nil {
				t.Fatal(err)
			}
			if seen.Tenant != h.acme.ID {
				t.Fatalf("an event of another tenant: %+v", seen)
			}
		}
	}
	if seen.Target.Name != "ours" {
		t.Errorf("event %+v", seen)
	}
	owner.do("POST", "sessions/revoke", map[string]any{"user": admin.user.ID}).want(http.StatusOK)
	for lines.Scan() {
	}
	// The loop above ends only because the stream did.
}

func TestP3_IdsOfOtherTenantsNameNothing(t *testing.T) {
	h := newHouse(t)
	owner, victim := h.signIn(h.acme, "owner", "owner"), h.signIn(h.globex, "victim", "owner")
	team := into[team](victim.do("POST", "teams", map[string]any{"name": "theirs"}).want(http.StatusCreated))
	token := into[createdToken](victim.do("POST", "tokens", map[string]any{"name": "t", "scope": "scim"}).want(http.StatusCreated))
	event := h.recorded(h.globex, audit.TeamCreated)[0]
	assignments := into[page[assignment]](victim.do("GET", "assignments", nil).want(http.StatusOK))

	user, session, device := string(victim.user.ID), string(victim.signed.Session.ID), string(victim.signed.Device.ID)
	for _, try := range []struct {
		method, path string
		body         any
	}{
		{"DELETE", "sessions/" + session, nil},
		{"POST", "sessions/revoke", map[string]any{"user": user}},
		{"POST", "sessions/revoke", map[string]any{"device": device}},
		{"DELETE", "devices/" + device, nil},
		{"PATCH", "devices/" + device, map[string]any{"blocked": true}},
		{"GET", "users/" + user, nil},
		{"PATCH", "users/" + user, map[string]any{"active": false}},
		{"DELETE", "users/" + user, nil},
		{"GET", "teams/" + string(team.ID), nil},
		{"DELETE", "teams/" + string(team.ID), nil},
		{"DELETE", "tokens/" + string(token.ID), nil},
		{"GET", "audit/events/" + string(event.ID), nil},
		{"DELETE", "assignments/" + assignments.Items[0].ID, nil},
		{"POST", "authorize/explain", map[string]any{"user": user, "permission": "alerts:read"}},
		{"POST", "assignments", map[string]any{"role": "viewer", "user": user}},
		{"DELETE", "me/sessions/" + session, nil},
	} {
		if r := owner.do(try.method, try.path, try.body); r.status != http.StatusNotFound {
			t.Errorf("%s %s: status %d: %s", try.method, try.path, r.status, r.body)
		}
	}
	victim.do("GET", "me", nil).want(http.StatusOK)

	// Proofs of one tenant are worth nothing at another.
	stolen := *owner
	stolen.host = "globex.localhost"
	stolen.do("GET", "me", nil).want(http.StatusUnauthorized)
	program := h.bearer(h.acme, "owner")
	program.do("GET", "sessions", nil).want(http.StatusOK)
	program.host = "globex.localhost"
	program.do("GET", "sessions", nil).want(http.StatusUnauthorized)
}

// A person is told of a device that signed in as them, until they look at theirs.
func TestMeTellsOfNewDevices(t *testing.T) {
	h := newHouse(t)
	first := h.signIn(h.acme, "owner", "owner")
	news := func() int {
		t.Helper()
		all, ok := into[map[string]any](first.do("GET", "me", nil).want(http.StatusOK))["new_devices"].([]any)
		if !ok {
			t.Fatal("there is no list")
		}
		return len(all)
	}
	if got := news(); got != 0 {
		t.Errorf("%d new devices for the only one", got)
	}
	if cookie := first.do("GET", "me/devices", nil).want(http.StatusOK).header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-gatehouse-looked=") || !strings.Contains(cookie, "HttpOnly") {
		t.Errorf("looking is kept as %q", cookie)
	}
}
