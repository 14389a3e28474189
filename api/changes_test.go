package api

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func TestConditionalChanges(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	made := owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)
	path, first := "teams/"+string(into[team](made).ID), made.header.Get("ETag")
	if first == "" {
		t.Fatal("no ETag")
	}
	changed := owner.do("PATCH", path, map[string]any{"display_name": "Payments"}, "If-Match", first).want(http.StatusOK)
	if changed.header.Get("ETag") == first {
		t.Error("the ETag stays though the team changed")
	}
	for _, stale := range []string{first, `"999999"`, `W/"1"`, `"nonsense"`, "1", `"0"`} {
		owner.do("PATCH", path, map[string]any{"display_name": "x"}, "If-Match", stale).want(http.StatusPreconditionFailed)
		owner.do("DELETE", path, nil, "If-Match", stale).want(http.StatusPreconditionFailed)
	}
	if now := into[team](owner.do("GET", path, nil)); now.DisplayName != "Payments" {
		t.Errorf("a refused change took effect: %+v", now)
	}
	owner.do("PATCH", path, map[string]any{"display_name": "y"}, "If-Match", "*").want(http.StatusOK)
	owner.do("DELETE", path, nil, "If-Match", owner.do("GET", path, nil).header.Get("ETag")).want(http.StatusNoContent)
	owner.do("GET", path, nil).want(http.StatusNotFound)

	put := func(description string) string {
		role := map[string]any{"description": description, "permissions": []string{"billing:read"}}
		return owner.do("PUT", "roles/auditor", role).want(http.StatusOK).header.Get("ETag")
	}
	first, second := put("Looks"), put("Looks closely")
	owner.do("PUT", "roles/auditor", map[string]any{"permissions": []string{"billing:read"}}, "If-Match", first).want(http.StatusPreconditionFailed)
	owner.do("DELETE", "roles/auditor", nil, "If-Match", first).want(http.StatusPreconditionFailed)
	owner.do("DELETE", "roles/auditor", nil, "If-Match", second).want(http.StatusNoContent)
	guest := "users/" + string(h.signIn(h.acme, "guest", "").user.ID)
	owner.do("DELETE", guest, nil, "If-Match", `"99"`).want(http.StatusPreconditionFailed)
	owner.do("DELETE", guest, nil, "If-Match", owner.do("GET", guest, nil).header.Get("ETag")).want(http.StatusNoContent)
}

func TestIdempotentPosts(t *testing.T) {
	h := newHouse(t)
	owner, other := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "other", "owner")
	post := func(v *visitor, name, key string) *reply {
		return v.do("POST", "teams", map[string]any{"name": name}, "Idempotency-Key", key)
	}
	first, again := post(owner, "a", "k1").want(http.StatusCreated), post(owner, "a", "k1").want(http.StatusCreated)
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the retry was answered differently: %s, %s", first.body, again.body)
	}
	if made := h.recorded(h.acme, audit.TeamCreated); len(made) != 1 {
		t.Errorf("%d teams were made", len(made))
	}
	post(owner, "b", "k1").problem(http.StatusConflict, "idempotency-key-reused")
	if theirs := into[team](post(other, "c", "k1").want(http.StatusCreated)); theirs.ID == into[team](first).ID {
		t.Error("one caller was given another's answer")
	}
	if first.header.Get("X-Gatehouse-Request-Id") == "" || first.header.Get("X-Gatehouse-Request-Id") == again.header.Get("X-Gatehouse-Request-Id") {
		t.Errorf("the retry bears the first request's id %q", again.header.Get("X-Gatehouse-Request-Id"))
	}
	// What was refused may be tried again when its cause is gone.
	owner.do("POST", "assignments", map[string]any{"role": "nobody", "user": owner.user.ID}, "Idempotency-Key", "k2").want(http.StatusNotFound)
	owner.do("POST", "teams", map[string]any{"name": "x"}, "Idempotency-Key", strings.Repeat("k", 200)).problem(http.StatusBadRequest, "idempotency-key-too-long")
	// A caller who lost the right to ask is not given the old answer.
	owner.do("POST", "sessions/revoke", map[string]any{"user": other.user.ID}).want(http.StatusOK)
	post(other, "c", "k1").want(http.StatusUnauthorized)
}

func TestP6_SecretsAreNotKeptForRetries(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	post := func(role string) *reply {
		return owner.do("POST", "tokens", map[string]any{"name": "ci", "scope": "api", "role": role}, "Idempotency-Key", "key-"+role)
	}
	secret := into[createdToken](post("viewer").want(http.StatusCreated)).Secret
	post("viewer").problem(http.StatusConflict, "idempotency-answer-withheld")
	if made := h.recorded(h.acme, audit.TokenCreated); len(made) != 1 {
		t.Errorf("%d tokens were made", len(made))
	}
	for kept := range h.api.answers.byKey {
		element := h.api.answers.byKey[kept]
		if held, _ := element.Value.(*answer); strings.Contains(string(held.body), secret) {
			t.Error("the secret is still in memory")
		}
	}
	// What made nothing holds no secret, and is tried again.
	if first, again := post("nobody"), post("nobody"); first.status < 400 || first.status != again.status {
		t.Errorf("%s, then %s", first.body, again.body)
	}
}

// keep puts a finished answer into the memory.
func keep(t *testing.T, s *answers, key answerKey, status int) {
	t.Helper()
	kept, err := s.claim(key, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	s.finish(kept, &recorder{ResponseWriter: httptest.NewRecorder(), status: status, wrote: true}, false)
}

func TestIdempotencyMemoryIsBounded(t *testing.T) {
	s := newAnswers()
	keep(t, s, answerKey{tenant: "quiet", caller: "a", key: "1"}, http.StatusCreated)
	keep(t, s, answerKey{tenant: "loud", caller: "quiet", key: "1"}, http.StatusCreated)
	for i := range 2 * answersPerUser {
		keep(t, s, answerKey{tenant: "loud", caller: "loud", key: strconv.Itoa(i)}, http.StatusCreated)
	}
	if s.byKey[answerKey{tenant: "loud", caller: "quiet", key: "1"}] == nil || s.order.Len() != answersPerUser+2 {
		t.Errorf("a loud caller pushed a quiet one out: %d kept", s.order.Len())
	}
	for i := range 3 * answersKept {
		keep(t, s, answerKey{tenant: "loud", caller: strconv.Itoa(i), key: "1"}, http.StatusCreated)
	}
	if s.order.Len() != answersPerTenant+1 {
		t.Errorf("%d answers are kept of one tenant", s.order.Len()-1)
	}
	for i := range 3 * answersKept {
		keep(t, s, answerKey{tenant: identity.TenantID("loud" + strconv.Itoa(i%8)), caller: strconv.Itoa(i), key: "1"}, http.StatusCreated)
	}
	if s.order.Len() != answersKept || len(s.byKey) != answersKept || s.byKey[answerKey{tenant: "quiet", caller: "a", key: "1"}] == nil {
		t.Errorf("loud tenants pushed a quiet one out: %d answers are kept", s.order.Len())
	}
}

// A request under way keeps its key, or it would be done twice, and one that was
// refused gives it back.
func TestIdempotencyKeysOfUnfinishedRequestsStay(t *testing.T) {
	s := newAnswers()
	key := func(i int) answerKey { return answerKey{tenant: "acme", caller: "a", key: strconv.Itoa(i)} }
	for i := range answersPerUser {
		if _, err := s.claim(key(i), [32]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.claim(key(-1), [32]byte{}); fault.As(err).Code != "idempotency-too-many" {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.claim(key(0), [32]byte{}); fault.As(err).Code != "idempotency-in-progress" {
		t.Errorf("the first again: %v", err)
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict} {
		other := answerKey{tenant: "acme", caller: "b", key: "1"}
		keep(t, s, other, status)
		if s.byKey[other] != nil {
			t.Errorf("an answer with status %d is kept", status)
		}
	}
}

func TestHostileBodies(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for name, try := range map[string]struct {
		body   string
		status int
	}{
		"unknown field":     {`{"name":"x","admin":true}`, http.StatusUnprocessableEntity},
		"wrong case":        {`{"Name":"x"}`, http.StatusUnprocessableEntity},
		"wrong type":        {`{"name":1}`, http.StatusUnprocessableEntity},
		"missing":           {`{}`, http.StatusUnprocessableEntity},
		"null":              {`null`, http.StatusUnprocessableEntity},
		"array":             {`[]`, http.StatusUnprocessableEntity},
		"empty":             {``, http.StatusBadRequest},
		"cut off":           {`{"name":`, http.StatusBadRequest},
		"two values":        {`{"name":"x"}{"name":"y"}`, http.StatusBadRequest},
		"deep":              {strings.Repeat("[", 100_000), http.StatusBadRequest},
		"deep and whole":    {`{"name":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`, http.StatusUnprocessableEntity},
		"over the limit":    {`{"name":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
		"bad name":          {`{"name":"../x"}`, http.StatusUnprocessableEntity},
		"control character": {`{"name":"a\u0000b"}`, http.StatusUnprocessableEntity},
	} {
		for _, key := range []string{"", "key-" + name} {
			r := owner.do("POST", "teams", try.body, "Idempotency-Key", key)
			if r.status != try.status || r.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: status %d, want %d: %.300s", name, r.status, try.status, r.body)
			}
		}
	}
	if made := h.recorded(h.acme, audit.TeamCreated); len(made) != 0 {
		t.Errorf("a refused body took effect: %+v", made)
	}
	owner.do("POST", "teams", `{"name":"x"}`, "Content-Type", "text/plain").problem(http.StatusUnsupportedMediaType, "not-json")
}

func TestP6_RefusedBodiesAreNotEchoed(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for _, body := range []string{
		`{"type":"oidc","client_secret":"hunter2","surprise":"hunter2"}`, `{"client_secret":"hunter2"`, `{"type":"oidc","client_secret":["hunter2"]}`,
	} {
		if r := owner.do("PUT", "connections/idp", body); strings.Contains(string(r.body), "hunter2") || r.status < 400 {
			t.Errorf("status %d: %s", r.status, r.body)
		}
	}
}

func TestCookiesWorkFromOurOwnPagesAlone(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for name, headers := range map[string][]string{
		"another site":                  {"Sec-Fetch-Site", "cross-site"},
		"a sibling under our domain":    {"Sec-Fetch-Site", "same-site"},
		"an old browser's other origin": {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
	} {
		p := owner.do("POST", "teams", map[string]any{"name": "forged"}, headers...).problem(http.StatusForbidden, "cross-origin")
		if p.EventID == "" {
			t.Errorf("%s: no event", name)
		}
	}
	owner.do("GET", "sessions", nil, "Sec-Fetch-Site", "cross-site").problem(http.StatusForbidden, "cross-origin")
	owner.do("GET", "sessions", nil, "Sec-Fetch-Site", "same-site").problem(http.StatusForbidden, "cross-origin")
	owner.do("GET", "sessions", nil, "Sec-Fetch-Site", "none").want(http.StatusOK)
	h.bearer(h.acme, "owner").do("POST", "teams", map[string]any{"name": "program"}).want(http.StatusCreated)
	if made := h.recorded(h.acme, audit.TeamCreated); len(made) != 1 || made[0].Target.Name != "program" {
		t.Errorf("teams made: %+v", made)
	}
}

func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	h := newHouse(t)
	admin, member := h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "member", "")
	for _, try := range []struct {
		method, path string
		body         any
	}{
		{"POST", "assignments", map[string]any{"role": "owner", "user": admin.user.ID}},
		{"POST", "tokens", map[string]any{"name": "x", "scope": "api", "role": "owner"}},
		{"PUT", "roles/all", map[string]any{"permissions": []string{"*:*"}}},
		{"PUT", "roles/money", map[string]any{"permissions": []string{"account/billing:write"}}},
		{"PUT", "connections/idp", map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "x", "default_role": "owner"}},
	} {
		admin.do(try.method, try.path, try.body).problem(http.StatusForbidden, "more-than-you-have")
	}
	admin.do("POST", "assignments", map[string]any{"role": "member", "user": member.user.UserName}).want(http.StatusCreated)
	if roles := into[me](member.do("GET", "me", nil).want(http.StatusOK)).Roles; len(roles) != 1 || roles[0] != "member" {
		t.Errorf("roles %v", roles)
	}
}

func TestP9_DeactivationEndsSessionsBeforeTheAnswer(t *testing.T) {
	h := newHouse(t)
	owner, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "member", "member")
	path := "users/" + string(member.user.ID)
	if u := into[user](owner.do("PATCH", path, map[string]any{"active": false}).want(http.StatusOK)); u.Active {
		t.Errorf("user %+v", u)
	}
	member.do("GET", "me", nil).want(http.StatusUnauthorized)
	owner.do("PATCH", path, map[string]any{"active": true}).want(http.StatusOK)
	member.do("GET", "me", nil).want(http.StatusUnauthorized)
	again := h.again(h.acme, member.user)
	owner.do("DELETE", path, nil).want(http.StatusNoContent)
	again.do("GET", "me", nil).want(http.StatusUnauthorized)
	owner.do("GET", path, nil).want(http.StatusNotFound)
}

func TestUsersAreSearchedAndPaged(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for _, name := range []string{"ada", "bob", "mia"} {
		h.signIn(h.acme, name, "")
	}
	names := func(query string) (all []string) {
		for cursor := ""; ; {
			found := into[page[user]](owner.do("GET", "users?limit=2&"+query+"&cursor="+cursor, nil).want(http.StatusOK))
			for _, u := range found.Items {
				all = append(all, u.Name)
			}
			if cursor = found.NextCursor; cursor == "" {
				return all
			}
		}
	}
	for query, want := range map[string]string{"": "owner ada bob mia", "search=BOB": "bob", "search=acme.example": "owner ada bob mia", "search=none": "", "active=false": ""} {
		if got := strings.Join(names(query), " "); got != want {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
	}
}

func TestExplainTellsTheChain(t *testing.T) {
	h := newHouse(t)
	owner, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "member", "")
	owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)
	owner.do("POST", "assignments", map[string]any{"role": "team_member", "team": "payments", "user": member.user.ID}).want(http.StatusCreated)
	ask := func(permission, team string) decision {
		return into[decision](owner.do("POST", "authorize/explain", map[string]any{"user": member.user.ID, "permission": permission, "team": team}).want(http.StatusOK))
	}
	if d := ask("alerts:write", "payments"); !d.Allowed || d.Role != authz.TeamMember || len(d.Chain) == 0 {
		t.Errorf("decision %+v", d)
	}
	if d := ask("billing:read", ""); d.Allowed || d.Reason == "" || d.Message == "" {
		t.Errorf("decision %+v", d)
	}
}

func TestP6_SecretsAreWrittenNeverRead(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	spec := map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "app", "client_secret": "hunter2", "scopes": []string{"openid"}}
	put := owner.do("PUT", "connections/idp", spec).want(http.StatusOK)
	delete(spec, "client_secret")
	owner.do("PUT", "connections/idp", spec).want(http.StatusOK)
	got := owner.do("GET", "connections/idp", nil).want(http.StatusOK)
	if !into[connection](got).HasSecret {
		t.Error("a change without a secret lost it")
	}
	list := owner.do("GET", "connections", nil).want(http.StatusOK)
	export := h.operator("platform").do("GET", "platform/export", nil).want(http.StatusOK)
	for name, r := range map[string]*reply{"put": put, "get": got, "list": list, "export": export} {
		if strings.Contains(string(r.body), "hunter2") {
			t.Errorf("%s gives the secret away", name)
		}
	}
	// Whoever points the connection elsewhere must know the secret for there.
	spec["issuer"] = "https://evil.example"
	if moved := into[connection](owner.do("PUT", "connections/idp", spec).want(http.StatusOK)); moved.HasSecret {
		t.Error("the secret went along to another issuer")
	}

	made := into[createdToken](owner.do("POST", "tokens", map[string]any{"name": "ci", "scope": "api", "role": "viewer"}).want(http.StatusCreated))
	if !strings.HasPrefix(made.Secret, "gh_") || strings.Contains(string(owner.do("GET", "tokens", nil).body), made.Secret) {
		t.Error("the token's secret is wrong, or listed")
	}
	owner.do("DELETE", "tokens/"+string(made.ID), nil).want(http.StatusNoContent)
	program := &visitor{h: h, server: h.server, host: owner.host, header: http.Header{"Authorization": {"Bearer " + made.Secret}}}
	program.do("GET", "me", nil).want(http.StatusUnauthorized)
}

func TestExportsAreRecordedAndWhole(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)
	r := owner.do("GET", "audit/export?type=team.created,audit.exported", nil).want(http.StatusOK)
	if lines := strings.Count(string(r.body), "\n"); lines != 2 || !strings.Contains(r.header.Get("Content-Disposition"), "audit-acme.jsonl") {
		t.Errorf("%d lines, %q", lines, r.header.Get("Content-Disposition"))
	}
	if len(h.recorded(h.acme, audit.AuditExported)) != 1 {
		t.Error("the export is not recorded")
	}
	if csv := owner.do("GET", "audit/export?format=csv", nil).want(http.StatusOK); !strings.HasPrefix(csv.header.Get("Content-Type"), "text/csv") {
		t.Errorf("csv as %q", csv.header.Get("Content-Type"))
	}
	owner.do("GET", "audit/export?format=xml", nil).want(http.StatusUnprocessableEntity)
	if found := into[integrity](owner.do("GET", "audit/verify", nil).want(http.StatusOK)); !found.Whole || found.Records == 0 || found.Opened != found.Records {
		t.Errorf("journal %+v", found)
	}
}
