package brake_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// fifth lets a fifth of the people go, and three in any case.
var fifth = brake.Rules{Share: 20, Window: time.Hour, Least: 3}

func TestItIsHeldAtTheExactPerson(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(50)
	for _, id := range h.people(30) { // who is not active is not one of those of whom it is a fifth
		_, err := h.a.directory.UpdateUser(t.Context(), admin, h.tenant, id, 0, func(u *directory.User) error { u.Active = false; return nil })
		must(t, err)
	}
	first, last, next := h.a.signIn(all[0]), h.a.signIn(all[9]), h.a.signIn(all[10])
	before, err := h.a.directory.User(t.Context(), h.tenant, all[10])
	must(t, err)
	h.a.takesOut(all[:10])
	if h.a.signedIn(first) || h.a.signedIn(last) {
		t.Error("somebody who has left is signed in (P9)")
	}
	h.stands(brake.Open, 10, 50, 10)

	other := h.newToken("entra")
	for name, got := range map[string]answer{
		"a deletion": h.a.deletes(all[10]), "a deactivation": h.a.patches(all[10], false), "a replacement": h.a.puts(all[10]),
		"another node": h.b.deletes(all[10]), "another token": h.b.ask(http.MethodDelete, "/Users/"+string(all[10]), "", other), "somebody else": h.a.deletes(all[49]),
	} {
		if got.status != http.StatusTooManyRequests || got.retryAfter != "600" || !strings.Contains(got.text, "10 of 50 active people were deactivated or deleted, or lost their last role, by SCIM or Google Workspace within 1h.") ||
			!strings.Contains(got.text, `"urn:ietf:params:scim:api:messages:2.0:Error"`) {
			t.Errorf("%s is answered with %d (%s): %s", name, got.status, got.retryAfter, got.text)
		}
	}
	after, err := h.a.directory.User(t.Context(), h.tenant, all[10])
	must(t, err)
	if after.Version != before.Version || !after.Active || !after.UpdatedAt.Equal(before.UpdatedAt) || !h.a.signedIn(next) {
		t.Errorf("a refused departure had an effect: %+v", after)
	}
	held := h.a.told(audit.BrakeHeld)
	if len(held) != 1 || len(h.b.told(audit.BrakeHeld)) != 0 {
		t.Fatalf("it is told of by %d records", len(held))
	}
	if e := held[0]; e.Actor.Kind != identity.KindSCIMToken || e.Actor.Name != "okta" || e.Outcome != audit.Refused || e.Reason != "mass-change-held" || e.Target.ID != string(all[10]) || e.RequestID == "" ||
		e.Details["departures"] != "10" || e.Details["people"] != "50" || e.Details["limit"] != "10" || e.Details["share"] != "20" || e.Details["window"] != "1h" || e.Details["least"] != "3" {
		t.Errorf("told as %+v", e)
	}
	if got := h.a.deletes(all[11]); !strings.Contains(got.text, string(held[0].ID)) {
		t.Errorf("the refusal does not name its record: %s", got.text)
	}
	h.stands(brake.Held, 10, 50, 10)
	if s := h.standing(); s.Token.Name != "okta" || s.Event != held[0].ID || !s.Since.Equal(h.now().UTC().Truncate(time.Millisecond)) || !s.Until.IsZero() || s.DecidedBy != "" {
		t.Errorf("it stands as %+v", s)
	}
	h.passes(3 * time.Hour)
	if got := h.b.deletes(all[12]); got.status != http.StatusTooManyRequests {
		t.Errorf("it let go by itself: %d", got.status)
	}
	h.stands(brake.Held, 10, 50, 10)
}

func TestWhatGoesOnWhileItIsHeld(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(20)
	for _, id := range all[:4] {
		h.a.wants(h.a.patches(id, false), http.StatusOK)
	}
	h.a.wants(h.a.deletes(all[4]), http.StatusTooManyRequests)
	// Who has left already does not leave by that.
	h.a.wants(h.a.patches(all[0], false), http.StatusOK)
	h.a.wants(h.a.deletes(all[0]), http.StatusNoContent)
	h.a.wants(h.a.patches(all[1], true), http.StatusOK)
	h.a.wants(h.a.ask(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new"}`, h.token), http.StatusCreated)
	h.a.wants(h.a.ask(http.MethodPatch, "/Users/"+string(all[5]), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"displayName","value":"Eve"}]}`, h.token), http.StatusOK)
	h.a.wants(h.a.ask(http.MethodPatch, "/Users/"+string(all[5]), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"displayName","value":"Eva"},{"op":"replace","path":"active","value":false}]}`, h.token), http.StatusTooManyRequests)
	if u, err := h.a.directory.User(t.Context(), h.tenant, all[5]); err != nil || u.DisplayName != "Eve" || !u.Active {
		t.Errorf("half of a refused change is there: %+v, %v", u, err)
	}
	must(t, h.a.directory.DeleteUser(t.Context(), admin, h.tenant, all[6], 0))
	h.a.wants(h.a.patches(all[1], false), http.StatusTooManyRequests)
	h.stands(brake.Held, 4, 20, 4)
}

func TestAdminsAreNotCounted(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(40)
	for _, id := range all[:20] {
		must(t, h.a.directory.DeleteUser(t.Context(), admin, h.tenant, id, 0))
	}
	for _, id := range all[20:25] {
		_, err := h.a.directory.UpdateUser(t.Context(), system, h.tenant, id, 0, func(u *directory.User) error { u.Active = false; return nil })
		must(t, err)
	}
	h.stands(brake.Open, 0, 15, 3)
	h.a.takesOut(all[25:28])
	h.a.wants(h.a.deletes(all[28]), http.StatusTooManyRequests)
}

func TestWhoIsBackHasNotLeft(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(20)
	for range 3 { // again and again
		for _, id := range all[:4] {
			h.a.wants(h.a.patches(id, false), http.StatusOK)
		}
		h.stands(brake.Open, 4, 20, 4)
		for _, id := range all[:3] {
			h.b.wants(h.b.patches(id, true), http.StatusOK)
		}
		_, err := h.b.directory.UpdateUser(t.Context(), admin, h.tenant, all[3], 0, func(u *directory.User) error { u.Active = true; return nil })
		must(t, err)
		h.stands(brake.Open, 0, 20, 4)
	}
}

func TestOnlyTheWindowCounts(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(50)
	h.a.takesOut(all[:5])
	h.passes(30 * time.Minute)
	h.a.takesOut(all[5:10])
	h.stands(brake.Open, 10, 50, 10)
	h.passes(30*time.Minute + time.Millisecond)
	// The first five do not count any more, neither as departures nor as people.
	h.stands(brake.Open, 5, 45, 9)
	h.b.takesOut(all[10:14])
	h.b.wants(h.b.deletes(all[14]), http.StatusTooManyRequests)
	h.stands(brake.Held, 9, 45, 9)
}

func TestAFewMayAlwaysGo(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(5)
	h.a.takesOut(all[:3])
	h.a.wants(h.a.deletes(all[3]), http.StatusTooManyRequests)
	h.stands(brake.Held, 3, 5, 3)
}

func TestSwitchedOff(t *testing.T) {
	h := newHouse(t, brake.Rules{Off: true, Share: 20, Window: time.Hour, Least: 3})
	all := h.people(30)
	h.a.takesOut(all[:10])
	h.stands(brake.Off, 0, 20, 4)
	h.set(fifth)
	h.a.takesOut(all[10:14])
	h.a.wants(h.a.deletes(all[14]), http.StatusTooManyRequests)
	h.set(brake.Rules{Off: true, Share: 20, Window: time.Hour, Least: 3})
	h.a.takesOut(all[14:])
	if s := h.standing(); s.State != brake.Off {
		t.Errorf("it stands as %+v", s)
	}
}

func TestWhatDoesNotCountAnyMoreIsSwept(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(24)
	_, err := h.a.brake.Release(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	h.passes(time.Second)
	h.a.takesOut(all[:12])
	h.stands(brake.Released, 12, 24, 4)
	h.passes(2 * time.Hour)
	h.stands(brake.Open, 0, 12, 3)
	h.a.takesOut(all[12:15])
	h.stands(brake.Open, 3, 12, 3)
	kept := 0
	must(t, h.a.db.Tenant(h.tenant).Read(t.Context(), func(tx *store.Tx) (err error) {
		kept, err = store.One(t.Context(), tx, store.Scalar[int], `SELECT count(*) FROM scim_departures`)
		return err
	}))
	if kept != 3 {
		t.Errorf("%d departures are kept", kept)
	}
	h.a.wants(h.a.deletes(all[15]), http.StatusTooManyRequests)
	h.stands(brake.Held, 3, 12, 3)
}
