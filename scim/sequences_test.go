package scim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

const sequences = "testdata/providers/*.txt"

// TestProviderSequences does what identity providers do, request by request, and
// looks at the whole directory after each: see [script] for how it is written.
func TestProviderSequences(t *testing.T) {
	files, err := filepath.Glob(sequences)
	must(t, err)
	for _, file := range files {
		s, err := readScript(file)
		must(t, err)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { play(t, s) })
	}
}

// player is a script on its way.
type player struct {
	*bench
	t        *testing.T
	url      string
	ids      map[string]string // by name
	want     map[string]map[string]any
	sessions map[string]string // of people, by name
	ended    []string          // sessions that must never live again
}

func play(t *testing.T, s *script) {
	p := &player{bench: newBench(t), t: t, ids: map[string]string{}, sessions: map[string]string{},
		want: map[string]map[string]any{"person": {}, "group": {}}}
	// What the gate finds out about each request before it hands it on.
	gate := func(w http.ResponseWriter, r *http.Request) {
		ctx := httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
			ClientIP: netip.MustParseAddr("192.0.2.7"), Tenant: p.acme.id, Origin: p.acme.origin})
		p.handler.ServeHTTP(w, r.WithContext(ctx))
	}
	server := httptest.NewServer(http.HandlerFunc(gate))
	t.Cleanup(server.Close)
	p.url = server.URL + "/scim/v2"
	follower := p.follow(t)
	for i := range s.steps {
		steps := s.steps[i].times()
		for j := range steps {
			if !p.do(s.file, &steps[j], j == len(steps)-1) {
				return // what follows builds on it
			}
		}
	}
	follower.agrees(t)
}

// do sends a request and checks its answer, and the directory unless more of
// the same step follow.
func (p *player) do(file string, s *step, look bool) (ok bool) {
	p.t.Helper()
	if s.schema != "" {
		schema, err := readSchema(s.schema)
		must(p.t, err)
		p.define(append(p.schemas, schema)...)
	}
	status, body, err := p.send(s)
	if err == nil && status != s.status {
		err = fmt.Errorf("answered %d, want %d", status, s.status)
	}
	if err == nil && s.made != "" {
		object, _ := body.(map[string]any)
		p.ids[s.made], _ = object["id"].(string)
		if p.ids[s.made] == "" {
			err = errors.New("the answer has no id")
		}
	}
	if err == nil && s.answer != "" {
		var want any
		if want, err = parseJSON(p.fill(s.answer)); err == nil {
			if wrong := lacks(body, want, "the answer"); wrong != "" {
				err = errors.New(wrong)
			}
		}
	}
	for _, c := range s.changes {
		if err == nil && c.kind != "" {
			err = p.expect(c)
		}
	}
	if err == nil && look {
		err = p.look()
	}
	if err != nil {
		text, _ := json.Marshal(body)
		p.t.Errorf("%s:%d: %s: %v\n%s", file, s.line, s.name, err, text)
	}
	return err == nil
}

func (p *player) send(s *step) (status int, body any, err error) {
	r, err := http.NewRequestWithContext(p.t.Context(), s.method, p.url+escaped(p.fill(s.path)), strings.NewReader(p.fill(s.body)))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+p.acme.token)
	if s.body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for _, h := range s.headers {
		r.Header.Set(h[0], h[1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	data, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && len(data) > 0 {
		if got := answer.Header.Get("Content-Type"); got != "application/scim+json" {
			return 0, nil, fmt.Errorf("answered as %q", got) // Entra ID takes nothing else
		}
		body, err = parseJSON(string(data))
	}
	return answer.StatusCode, body, err
}

var manyMembers = regexp.MustCompile(`\$\[([A-Z]+)([0-9]+)\.\.([0-9]+)\]`)

// fill puts ids in the place of their names: $ANN, and $[P1..9] for a list of
// members.
func (p *player) fill(text string) string {
	text = manyMembers.ReplaceAllStringFunc(text, func(found string) string {
		part := manyMembers.FindStringSubmatch(found)
		var members []string
		for _, name := range between(part[1], part[2], part[3]) {
			members = append(members, `{"value":"`+p.ids[name]+`"}`)
		}
		return strings.Join(members, ",")
	})
	return scriptName.ReplaceAllStringFunc(text, func(name string) string {
		if id, ok := p.ids[name[1:]]; ok {
			return id
		}
		return name // "$ref", or what nobody has
	})
}

func between(prefix, first, last string) (names []string) {
	var from, to int
	if _, err := fmt.Sscan(first, &from); err != nil {
		return nil
	}
	if _, err := fmt.Sscan(last, &to); err != nil {
		return nil
	}
	for n := from; n <= to; n++ {
		names = append(names, fmt.Sprint(prefix, n))
	}
	return names
}

func (p *player) expect(c change) error {
	patch, err := parseJSON(p.fill(c.patch))
	if err != nil {
		return fmt.Errorf("the change of %s: %w", c.name, err)
	}
	if patch == nil {
		delete(p.want[c.kind], c.name)
		return nil
	}
	p.want[c.kind][c.name] = mergePatch(p.want[c.kind][c.name], patch)
	return nil
}

var manyNames = regexp.MustCompile(`^([A-Z]+)([0-9]+)\.\.([0-9]+)$`)

// look compares the whole directory with what is expected of it.
func (p *player) look() error {
	got := map[string]map[string]any{"person": {}, "group": {}}
	names := make(map[string]string) // by id
	for name, id := range p.ids {
		names[id] = name
	}
	people, err := p.directory.Users(p.t.Context(), p.acme.id, directory.UserQuery{Count: directory.MaxPage})
	if err != nil {
		return err
	}
	in := make(map[string][]string) // groups by person, as people have them
	for _, u := range people.Items {
		if got["person"][names[string(u.ID)]], err = personAsJSON(&u); err != nil {
			return err
		}
		for _, g := range u.Groups {
			in[names[string(g.ID)]] = append(in[names[string(g.ID)]], names[string(u.ID)])
		}
	}
	groups, err := p.directory.Groups(p.t.Context(), p.acme.id, directory.GroupQuery{Count: directory.MaxPage, WithMembers: true})
	if err != nil {
		return err
	}
	for _, g := range groups.Items {
		name := names[string(g.ID)]
		group, members := map[string]any{"displayName": g.DisplayName}, []any{}
		if g.ExternalID != "" {
			group["externalId"] = g.ExternalID
		}
		for _, m := range sortedNames(g.Members, names) {
			members = append(members, m)
		}
		slices.Sort(in[name])
		if len(members) != len(in[name]) {
			return fmt.Errorf("%s has %v, and in it are %v", name, members, in[name])
		}
		group["members"] = members
		got["group"][name] = group
	}
	for _, kind := range []string{"person", "group"} {
		if want := wanted(p.want[kind]); !reflect.DeepEqual(got[kind], want) {
			return fmt.Errorf("the directory has\n%s\nand should have\n%s", asLines(got[kind]), asLines(want))
		}
	}
	return p.checkSessions()
}

// wanted gives what is expected with the members of groups written out and in
// their order.
func wanted(all map[string]any) map[string]any {
	out := make(map[string]any, len(all))
	for name, v := range all {
		object, _ := v.(map[string]any)
		list, ok := object["members"].([]any)
		if !ok {
			out[name] = v
			continue
		}
		var names []string
		for _, m := range list {
			text := fmt.Sprint(m)
			if part := manyNames.FindStringSubmatch(text); part != nil {
				names = append(names, between(part[1], part[2], part[3])...)
				continue
			}
			names = append(names, text)
		}
		slices.Sort(names)
		members := []any{}
		for _, n := range names {
			members = append(members, n)
		}
		out[name] = mergePatch(object, map[string]any{"members": members})
	}
	return out
}

func sortedNames(members []directory.Member, names map[string]string) (sorted []string) {
	for _, m := range members {
		sorted = append(sorted, names[string(m.User)])
	}
	slices.Sort(sorted)
	return sorted
}

// personAsJSON gives all that the directory has of a person, what it keeps as
// JSON beside its own fields.
func personAsJSON(u *directory.User) (map[string]any, error) {
	out := make(map[string]any)
	if err := json.Unmarshal(u.Attributes, &out); err != nil {
		return nil, err
	}
	out["userName"], out["active"], out["displayName"] = u.UserName, u.Active, u.DisplayName
	if u.ExternalID != "" {
		out["externalId"] = u.ExternalID
	}
	if u.Email != "" {
		out["email"] = u.Email
	}
	if u.Source != directory.SourceSCIM {
		out["source"] = string(u.Source)
	}
	return out, nil
}

func asLines(all map[string]any) string {
	var lines []string
	for name, v := range all {
		text, err := json.Marshal(v)
		if err != nil {
			text = []byte(err.Error())
		}
		lines = append(lines, "\t"+name+" "+string(text))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// checkSessions holds the service to P9 at every step: who is active keeps the
// session, who is not has none, and whoever becomes active again signs in anew.
func (p *player) checkSessions() error {
	for name, session := range p.sessions {
		person, _ := p.want["person"][name].(map[string]any)
		active, _ := person["active"].(bool)
		if alive := p.signedIn(p.t, session); alive != active {
			return fmt.Errorf("%s is active: %v, and signed in: %v", name, active, alive)
		}
		if !active {
			delete(p.sessions, name)
			p.ended = append(p.ended, session)
		}
	}
	for _, session := range p.ended {
		if p.signedIn(p.t, session) {
			return errors.New("a session that had ended lives again")
		}
	}
	for name, v := range p.want["person"] {
		person, _ := v.(map[string]any)
		if _, ok := p.sessions[name]; !ok && person["active"] == true && len(p.sessions) < 10 {
			p.sessions[name] = p.signIn(p.t, p.ids[name])
		}
	}
	return nil
}
