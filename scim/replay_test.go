package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/scim"
	"gatehouse/scim/recorder"
)

// state is every row of acme's, as text.
func (b *bench) state(t testing.TB) string {
	t.Helper()
	var all []string
	for _, table := range b.tables(t) {
		must(t, b.db.Tenant(b.acme.id).Read(t.Context(), func(tx *store.Tx) error {
			rows, err := store.All(t.Context(), tx, wholeRow, `SELECT * FROM `+table)
			slices.Sort(rows)
			all = append(all, table+": "+strings.Join(rows, "\n"))
			return err
		}))
	}
	return strings.Join(all, "\n\n")
}

// tables are all that the tenant has.
func (b *bench) tables(t testing.TB) (names []string) {
	t.Helper()
	for _, catalogue := range []string{
		`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY name`,
		`SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = 'own' ORDER BY 1`,
	} {
		_ = b.db.Tenant(b.acme.id).Read(t.Context(), func(tx *store.Tx) (err error) {
			found, err := store.All(t.Context(), tx, store.Scalar[string], catalogue)
			names = append(names, found...)
			return err // of the other database
		})
	}
	if !slices.Contains(names, "users") || !slices.Contains(names, "scim_departures") {
		t.Fatalf("the tables are %q", names)
	}
	return names
}

// wholeRow reads a row of any columns.
func wholeRow(row store.Row) (string, error) {
	columns, ok := row.(interface{ Columns() ([]string, error) })
	if !ok {
		return "", fmt.Errorf("a row of type %T", row)
	}
	names, err := columns.Columns()
	if err != nil {
		return "", err
	}
	values, places := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		places[i] = &values[i]
	}
	err = row.Scan(places...)
	var text strings.Builder
	for i, v := range values {
		fmt.Fprintf(&text, "%s=%v ", names[i], v)
	}
	return text.String(), err
}

// braked has the brake of acme held after so many.
func (b *bench) braked(t testing.TB, least int) {
	t.Helper()
	b.brake = brake.New(brake.Config{Store: b.db, Journal: b.journal, Rules: func(identity.TenantID) brake.Rules {
		return brake.Rules{Share: 1, Window: time.Hour, Least: least}
	}})
	b.serve(t)
}

func (b *bench) replay(t testing.TB, r recorder.Request) (recorder.Request, error) {
	t.Helper()
	return scim.New(b.config).Replay(t.Context(), b.acme.id, b.acme.origin, r)
}

// A dry run says what the request would do now, and does nothing of it.
func TestP1_P9_ADryRunDoesNothing(t *testing.T) {
	b := newBench(t)
	b.braked(t, 2)
	s := b.recorder
	id := b.user(t, "ann", "")
	b.signIn(t, id)
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).wants(200)
	off := last(t, b, s)
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).wants(200)
	session := b.signIn(t, id)
	kept(t, b, s, recorder.Filter{})
	before, events := b.state(t), len(b.events(t))

	again, err := b.replay(t, off)
	must(t, err)
	if again.Status != 200 || len(again.Changes) != 1 || attribute(again.Changes[0], "active").After != "false" || !slices.Equal(again.Understood, off.Understood) || again.ID != off.ID {
		t.Errorf("foreseen: %+v", again)
	}
	if now := b.state(t); now != before {
		t.Errorf("a dry run has changed the rows\n%s\nto\n%s", before, now)
	}
	if now := len(b.events(t)); now != events {
		t.Errorf("a dry run has made %d records", now-events)
	}
	if !b.signedIn(t, session) {
		t.Error("a dry run has ended a session")
	}
	if u, err := b.directory.User(t.Context(), b.acme.id, identity.UserID(id)); err != nil || !u.Active {
		t.Errorf("%+v %v", u, err)
	}
}

// A dry run of those who would be one too many says so, and the brake stays as it was.
func TestADryRunLeavesTheBrakeAlone(t *testing.T) {
	b := newBench(t)
	b.braked(t, 2)
	s := b.recorder
	var operations []string
	for i := range 4 {
		operations = append(operations, `{"method":"DELETE","path":"/Users/`+b.user(t, fmt.Sprintf("p%d", i), "")+`"}`)
	}
	b.do(t, "POST", "/Bulk", bulkOf(operations[:1]...)).wants(200)
	r := last(t, b, s)
	r.Sent.Text = bulkOf(operations[1:]...)
	before, events := b.state(t), len(b.events(t))
	again, err := b.replay(t, r)
	must(t, err)
	if len(again.Changes) != 1 || len(again.Understood) != 3 || !strings.Contains(again.Understood[1], ": 429") || !again.Failed {
		t.Errorf("foreseen: %+v", again)
	}
	if b.state(t) != before || len(b.events(t)) != events || len(b.brake.Held()) != 0 {
		t.Error("the brake is not as it was")
	}
}

func TestWhatCannotBeTriedAgain(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	b.do(t, "POST", "/Users", strings.Repeat("x", maxRequest+1)).wants(413)
	if _, err := b.replay(t, last(t, b, s)); !fault.Is(err, fault.Conflict) || fault.As(err).Code != "request-cut" {
		t.Errorf("cut: %v", err)
	}
	b.do(t, "GET", "/Users", "", "Authorization", "Bearer nobody").wants(401)
	if _, err := b.replay(t, last(t, b, s)); fault.As(err).Code != "request-of-nobody" {
		t.Errorf("of nobody: %v", err)
	}
}

// maxRequest is how large a request may be that is no Bulk.
const maxRequest = 1 << 20

// A Bulk that is larger than most is kept whole, found by whoever is in it,
// tried again, and erased with any of them.
func TestP1_P9_ALargeBulkIsKeptAndTriedAgain(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	operations := make([]string, 200) // more than 64 KiB, and no second of a dry run
	for i := range operations {
		operations[i] = fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"b%d","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"p%d","title":%q}}`, i, i, strings.Repeat("x", 500))
	}
	text := bulkOf(operations...)
	b.do(t, "POST", "/Bulk", text).wants(200)
	r := last(t, b, s)
	if r.Sent.Text != text || r.Sent.Left != 0 || r.Sent.Unread || len(r.Understood) != len(operations) {
		t.Fatalf("%d bytes of %d are kept, %d lines", len(r.Sent.Text), len(text), len(r.Understood))
	}
	id, _ := b.do(t, "GET", "/Users?filter="+escape(`userName eq "p199"`), "").wants(200).at("Resources", "0", "id").(string)
	if found := kept(t, b, s, recorder.Filter{About: id, Method: "POST"}); len(found) != 1 || found[0].ID != r.ID {
		t.Errorf("by the id of the last person in it, %d are found", len(found))
	}
	before, events := b.state(t), len(b.events(t))
	again, err := b.replay(t, r)
	must(t, err)
	if len(again.Understood) != len(operations) || !strings.Contains(again.Understood[199], ": 409 uniqueness") || b.state(t) != before || len(b.events(t)) != events {
		t.Errorf("foreseen: %d lines, %d changes", len(again.Understood), len(again.Changes))
	}
	must(t, b.db.Tenant(b.acme.id).Write(t.Context(), func(tx *store.Tx) error { return recorder.Erase(t.Context(), tx, identity.UserID(id)) }))
	if found := kept(t, b, s, recorder.Filter{}); len(found) != 0 {
		t.Errorf("with the last person in it erased, %d are left", len(found))
	}
}

// For random requests: a dry run changes no row and records nothing, and what it foresees
// is what the request then does.
func TestADryRunForeseesWhatComes(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	var people, groups []string
	for i := range 3 {
		people = append(people, b.user(t, fmt.Sprintf("p%d", i), `,"name":{"givenName":"P"}`))
		groups = append(groups, b.group(t, fmt.Sprintf("g%d", i), people[:i]...))
	}
	rapid.Check(t, func(rt *rapid.T) {
		person := rapid.SampledFrom(append(people, "usr_none")).Draw(rt, "person")
		group := rapid.SampledFrom(groups).Draw(rt, "group")
		number := rapid.IntRange(0, 3).Draw(rt, "number")
		name := fmt.Sprintf("p%d", number)
		user := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"title":"t%d"}`, name, number)
		members := fmt.Sprintf(`[{"value":%q},{"value":%q}]`, person, people[number%3])
		shapes := [][3]string{
			{"POST", "/Users", user},
			{"PUT", "/Users/" + person, user},
			{"PATCH", "/Users/" + person, patch(fmt.Sprintf(`{"op":"Replace","value":{"title":"t%d","active":%t}}`, number, number > 1))},
			{"PATCH", "/Users/" + person, patch(`{"op":"add","path":"emails[type eq \"work\"].value","value":"` + name + `@acme.example"}`)},
			{"PATCH", "/Users/" + person, patch(`{"op":"remove","path":"nothing"}`)},
			{"PATCH", "/Groups/" + group, patch(`{"op":"add","path":"members","value":` + members + `}`)},
			{"PATCH", "/Groups/" + group, patch(`{"op":"replace","path":"members","value":` + members + `}`)},
			{"PATCH", "/Groups/" + group, patch(`{"op":"remove","path":"members[value eq \"` + person + `\"]"},{"op":"replace","path":"displayName","value":"g` + name + `"}`)},
			{"PUT", "/Groups/" + group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"x` + name + `","members":` + members + `}`},
			{"GET", "/Users?filter=" + escape(`title eq "t1"`), ""},
			{"POST", "/Bulk", bulkOf(`{"method":"POST","path":"/Users","bulkId":"a","data":`+user+`}`, `{"method":"DELETE","path":"/Users/bulkId:a"}`,
				`{"method":"PATCH","path":"/Groups/`+group+`","data":`+patch(`{"op":"add","path":"members","value":`+members+`}`)+`}`)},
			{"POST", "/Users", `{"schemas":`},
		}
		shape := rapid.SampledFrom(shapes).Draw(rt, "shape")
		r := b.newRequest(t.Context(), shape[0], shape[1], shape[2])
		asked := recorder.Request{ID: identity.NewRequestID(), Token: b.actor(t), TokenName: "test", Method: r.Method, Path: r.URL.Path,
			Details: recorder.Details{Caller: identity.KindSCIMToken, Query: r.URL.RawQuery, Header: map[string]string{"Content-Type": r.Header.Get("Content-Type")}, Sent: recorder.Text{Text: shape[2]}}}
		before, events := b.state(t), len(b.events(t))
		foreseen, err := b.replay(t, asked)
		must(t, err)
		if b.state(t) != before || len(b.events(t)) != events {
			rt.Fatalf("%v: the dry run has left something", shape)
		}
		b.do(t, shape[0], shape[1], shape[2])
		came := last(t, b, s)
		if foreseen.Status != came.Status || foreseen.ScimType != came.ScimType || foreseen.Failed != came.Failed || foreseen.Detail != came.Detail {
			rt.Fatalf("%v: foreseen %+v, came %+v", shape, foreseen, came)
		}
		if a, b := alike(foreseen), alike(came); !reflect.DeepEqual(a, b) {
			rt.Fatalf("%v: foreseen\n%+v\ncame\n%+v", shape, a, b)
		}
	})
}

// comparable leaves out of what became of a request the ids that are made anew each time.
func alike(r recorder.Request) []recorder.Change {
	for i, c := range r.Changes {
		if c.Action == recorder.Created {
			r.Changes[i].ID = ""
		}
		for j, m := range c.Joined.First {
			if c.Action == recorder.Created {
				r.Changes[i].Joined.First[j].ID = m.Name
			}
		}
	}
	text, _ := json.Marshal(r.Changes)
	var all []recorder.Change
	_ = json.Unmarshal(text, &all)
	return all
}

// What was fetched and not pushed is tried again as well.
func TestADryRunOfWhatWasFetched(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	sync := &identity.Principal{Kind: identity.KindSync, Tenant: b.acme.id, ID: "google", Name: "Google Workspace"}
	const ann = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann@acme.example"}`
	status, answer, err := scim.New(b.config).Do(t.Context(), sync, "POST", "/Users", []byte(ann))
	if err != nil || status != http.StatusCreated {
		t.Fatal(status, string(answer), err)
	}
	came := last(t, b, s)
	if again, err := b.replay(t, came); err != nil || again.Status != http.StatusConflict {
		t.Errorf("with her there: %d %v", again.Status, err)
	}
	var made struct{ ID string }
	must(t, json.Unmarshal(answer, &made))
	b.do(t, "DELETE", "/Users/"+made.ID, "").wants(204)
	again, err := b.replay(t, came)
	if err != nil || again.Status != http.StatusCreated || !reflect.DeepEqual(alike(again), alike(came)) {
		t.Errorf("with her gone: %d %+v %v", again.Status, again.Changes, err)
	}
}

// actor is the id of acme's token.
func (b *bench) actor(t testing.TB) string {
	t.Helper()
	p, err := b.tokens.Verify(t.Context(), b.acme.id, b.acme.token)
	must(t, err)
	return p.ID
}

// Who tries one request after the other does not keep others from changing anything.
func TestDryRunsComeOneAtATimeWithAPause(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	b.user(t, "ann", "")
	made := last(t, b, s)
	service := scim.New(b.config)
	for i := range 2 {
		_, err := service.Replay(t.Context(), b.acme.id, b.acme.origin, made)
		if f := fault.As(err); i == 0 && err != nil || i == 1 && (err == nil || f.Kind != fault.TooMany || f.RetryAfter <= 0) {
			t.Errorf("the %d. time: %v", i+1, err)
		}
	}
	if _, err := service.Replay(t.Context(), b.globex.id, b.globex.origin, made); err != nil {
		t.Errorf("another tenant waits for it: %v", err)
	}
}

// What changes nothing is tried again while somebody writes, and holds nobody up.
func TestADryRunOfWhatReadsNeedsNoTurn(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	id := b.user(t, "ann", "")
	b.do(t, "GET", "/Users?filter="+escape(`userName eq "ann"`), "").wants(200)
	get := last(t, b, s)
	b.do(t, "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"userName eq \"ann\""}`).wants(200)
	search := last(t, b, s)
	must(t, b.db.Tenant(b.acme.id).Write(t.Context(), func(*store.Tx) error {
		for _, r := range []recorder.Request{get, search} {
			if again, err := b.replay(t, r); err != nil || again.Status != 200 || !strings.Contains(again.Answer.Text, id) || len(again.Understood) == 0 {
				t.Errorf("foreseen: %+v %v", again, err)
			}
		}
		return nil
	}))
}
