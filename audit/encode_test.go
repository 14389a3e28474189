package audit

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"gatehouse/audit/segment"
	"gatehouse/identity"
)

// anyEvent draws an event with hostile strings in every field.
func anyEvent(t *rapid.T) Event {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 40, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 60), func(b []byte) string { return string(b) }))
	draw := func(name string) string { return text.Draw(t, name) }
	e := Event{
		ID: identity.EventID(draw("id")), Seq: rapid.Uint64().Draw(t, "seq"), Node: draw("node"),
		Time:   time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "time")).UTC(),
		Tenant: identity.TenantID(draw("tenant")), Type: Type(draw("type")), Outcome: Outcome(draw("outcome")),
		Reason: draw("reason"), Message: draw("message"),
		Actor:   Actor{Kind: identity.Kind(draw("kind")), ID: draw("actor"), Name: draw("name")},
		Session: identity.SessionID(draw("session")), Device: identity.DeviceID(draw("device")), Connection: identity.ConnectionID(draw("connection")),
		RequestID: identity.RequestID(draw("request")), Method: draw("method"), Host: draw("host"), Path: draw("path"), Route: draw("route"),
		UserAgent: draw("agent"), Permission: draw("permission"), Team: draw("team"), Role: draw("role"),
		PolicyVersion: rapid.Uint64().Draw(t, "policy"), Count: rapid.Int64().Draw(t, "count"),
	}
	if rapid.Bool().Draw(t, "with target") {
		e.Target = Target{Kind: draw("target kind"), ID: draw("target"), Name: draw("target name")}
	}
	if rapid.Bool().Draw(t, "with address") {
		e.IP = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip")))
	}
	if rapid.Bool().Draw(t, "with details") {
		e.Type = SignInRefused
		e.Details = map[string]string{"subject": draw("subject"), "step": draw("step"), "password": draw("secret")}
	}
	return e
}

// What the encoder by hand writes is what encoding/json makes of the event,
// once that is cut, classified and freed of the query string as documented.
func TestEncoderAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		mine := appendEvent(nil, &e)
		if !json.Valid(mine) || !utf8.Valid(mine) {
			t.Fatalf("not JSON: %q", mine)
		}
		var got Event
		if err := json.Unmarshal(mine, &got); err != nil {
			t.Fatal(err)
		}
		e.Path, _, _ = strings.Cut(e.Path, "?")
		delete(e.Details, "password")
		theirs, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var want Event
		if err := json.Unmarshal(theirs, &want); err != nil {
			t.Fatal(err)
		}
		if !equalUpToCuts(reflect.ValueOf(want), reflect.ValueOf(got)) {
			t.Fatalf("want %+v\ngot  %+v", want, got)
		}
	})
}

// equalUpToCuts compares, letting a string stand for a longer one that it is the
// beginning of, if it says so.
func equalUpToCuts(want, got reflect.Value) bool {
	switch want.Kind() {
	case reflect.String:
		if rest, cut := strings.CutSuffix(got.String(), "…"); cut && len(appendEscaped(nil, want.String(), 1<<20)) > limitID && strings.HasPrefix(want.String(), rest) {
			return true
		}
	case reflect.Struct:
		if want.Type() != reflect.TypeFor[time.Time]() && want.Type() != reflect.TypeFor[netip.Addr]() {
			for i := range want.NumField() {
				if !equalUpToCuts(want.Field(i), got.Field(i)) {
					return false
				}
			}
			return true
		}
	case reflect.Map:
		if want.Len() != got.Len() {
			return false
		}
		for _, k := range want.MapKeys() {
			if !got.MapIndex(k).IsValid() || !equalUpToCuts(want.MapIndex(k), got.MapIndex(k)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want.Interface(), got.Interface())
}

func TestRecordsAreBounded(t *testing.T) {
	for _, unit := range []string{"a", "\x00", "\"", "\xff", "é", "𝕏"} {
		long := strings.Repeat(unit, 20_000)
		e := Event{ID: identity.EventID(long), Node: long, Tenant: identity.TenantID(long), Outcome: Outcome(long),
			Reason: long, Message: long, Actor: Actor{Kind: identity.Kind(long), ID: long, Name: long},
			Target:  Target{Kind: long, ID: long, Name: long},
			Session: identity.SessionID(long), Device: identity.DeviceID(long), Connection: identity.ConnectionID(long),
			RequestID: identity.RequestID(long), Method: long, Host: long, Path: long, Route: long, UserAgent: long,
			Permission: long, Team: long, Role: long, Details: map[string]string{}}
		for kind, keys := range classified {
			e.Type, e.Details = kind, map[string]string{}
			for _, key := range slices.Concat(aggregation, keys) {
				e.Details[key] = long
			}
			b := appendEvent(nil, &e)
			if !json.Valid(b) {
				t.Fatalf("%s, %q: not JSON", kind, unit)
			}
			if len(b) > segment.MaxPlain {
				t.Errorf("%s, %q: %d bytes", kind, unit, len(b))
			}
		}
	}
}

func TestP6OnlyClassifiedDetailsAreRecorded(t *testing.T) {
	e := Event{Type: SignInSucceeded, Path: "/cb?code=s3cret", Details: map[string]string{"protocol": "oidc", "id_token": "s3cret"}}
	b := string(appendEvent(nil, &e))
	if strings.Contains(b, "s3cret") || strings.Contains(b, "id_token") {
		t.Error("a secret is in the record:", b)
	}
	if !strings.Contains(b, `"details":{"protocol":"oidc"}`) || !strings.Contains(b, `"path":"/cb"`) {
		t.Error("a classified detail is missing:", b)
	}
}

func TestEventIDs(t *testing.T) {
	var g eventIDs
	now := time.Now()
	var ids []string
	for i := range 1000 {
		ids = append(ids, string(g.next(now.Add(time.Duration(i)*100*time.Microsecond))))
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Error("ids do not sort in the order they were made in")
	}
	if at, ok := eventTime(identity.EventID(ids[0])); !ok || at.UnixMilli() != now.UnixMilli() {
		t.Errorf("%s is of %v, want %v", ids[0], at, now)
	}
	if len(ids[0]) != len(identity.NewEventID()) {
		t.Error("the form differs from identity's")
	}
	if at, ok := eventTime(identity.NewEventID()); !ok || time.Since(at) > time.Minute {
		t.Error("identity's ids are not understood")
	}
	for _, bad := range []identity.EventID{"", "evt_", "usr_0123456789abcdefghijklmnop", "evt_0123456789ABCDEFGHIJKLMNOP", "evt_zzzzzzzzzzzzzzzzzzzzzzzzzz"} {
		if _, ok := eventTime(bad); ok {
			t.Errorf("%q passes for an event's id", bad)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	e := access("/")
	f.Add(appendRecord(nil, &e))
	f.Add([]byte("e{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseRecord(b)
		if err != nil {
			return
		}
		once := appendRecord(nil, &e)
		e2, err := parseRecord(once)
		if err != nil {
			t.Fatalf("%v: %s", err, once)
		}
		if twice := appendRecord(nil, &e2); string(once) != string(twice) {
			t.Errorf("%s\n%s", once, twice)
		}
	})
}
