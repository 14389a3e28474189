package brake_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// heldHouse is one of 50 people of whom ten have left, and the next was refused.
func heldHouse(t *testing.T) (*house, []identity.UserID) {
	t.Helper()
	h := newHouse(t, fifth)
	all := h.people(50)
	h.a.takesOut(all[:10])
	h.a.wants(h.a.deletes(all[10]), http.StatusTooManyRequests)
	h.passes(time.Second)
	return h, all[10:]
}

func TestARelease(t *testing.T) {
	h, left := heldHouse(t)
	s, err := h.b.brake.Release(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	if s.State != brake.Released || !s.Until.Equal(s.Since.Add(time.Hour)) || s.DecidedBy != "ada@acme.example" || s.Token.Name != "okta" {
		t.Errorf("released as %+v", s)
	}
	told := h.b.told(audit.BrakeReleased)
	if len(told) != 1 || told[0].Actor.ID != "usr_admin" || told[0].Target.Name != "okta" || told[0].Details["departures"] != "10" || told[0].Details["people"] != "50" ||
		told[0].Details["until"] != s.Until.Format(time.RFC3339) || told[0].ID != s.Event {
		t.Errorf("told as %+v", told)
	}
	h.passes(time.Minute)
	h.a.takesOut(left[:15])
	h.stands(brake.Released, 15, 40, 8)
	h.passes(time.Hour)
	// From here on it is as if nobody had left.
	h.stands(brake.Open, 0, 25, 5)
	h.a.takesOut(left[15:20])
	h.a.wants(h.a.deletes(left[20]), http.StatusTooManyRequests)
	if n := len(h.a.told(audit.BrakeHeld)); n != 2 {
		t.Errorf("that it is held again is told of by %d records in all", n)
	}

	until := h.now().Add(5 * time.Minute)
	_, err = h.a.brake.Release(t.Context(), admin, h.tenant, 0, until)
	must(t, err)
	h.passes(5*time.Minute - time.Millisecond)
	h.b.wants(h.b.deletes(left[20]), http.StatusNoContent)
	h.passes(time.Millisecond)
	if s := h.standing(); s.State != brake.Open || s.Departures != 0 || s.DecidedBy != "" || !s.Since.Equal(until.UTC().Truncate(time.Millisecond)) {
		t.Errorf("after its time it stands as %+v", s)
	}
}

func TestARejection(t *testing.T) {
	h, left := heldHouse(t)
	session := h.a.signIn(left[0])
	s, err := h.b.brake.Reject(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	told := h.b.told(audit.BrakeRejected)
	if s.State != brake.Rejected || !s.Until.IsZero() || len(told) != 1 || told[0].ID != s.Event {
		t.Errorf("rejected as %+v, and told as %+v", s, told)
	}
	h.passes(30 * 24 * time.Hour)
	for name, got := range map[string]answer{"a deletion": h.a.deletes(left[0]), "a deactivation": h.a.patches(left[0], false), "a replacement": h.b.puts(left[0])} {
		if got.status != http.StatusForbidden || got.retryAfter != "" || !strings.Contains(got.text, string(s.Event)) {
			t.Errorf("%s is answered with %d: %s", name, got.status, got.text)
		}
	}
	if !h.active(left[0]) || !h.a.signedIn(session) {
		t.Error("a rejected departure had an effect")
	}
	h.a.wants(h.a.ask(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new"}`, h.token), http.StatusCreated)

	until := h.now().Add(time.Hour)
	_, err = h.a.brake.Reject(t.Context(), admin, h.tenant, 0, until)
	must(t, err)
	if got := h.b.deletes(left[0]); got.status != http.StatusForbidden || !strings.Contains(got.text, until.UTC().Format(time.RFC3339)) {
		t.Errorf("answered with %d: %s", got.status, got.text)
	}
	h.passes(time.Hour)
	h.stands(brake.Open, 0, 41, 8)
	h.b.wants(h.b.deletes(left[0]), http.StatusNoContent)
	_, err = h.a.brake.Reject(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	_, err = h.a.brake.Release(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	h.b.wants(h.b.deletes(left[1]), http.StatusNoContent)
}

func TestAReset(t *testing.T) {
	h, left := heldHouse(t)
	s, err := h.b.brake.Reset(t.Context(), admin, h.tenant, 0)
	must(t, err)
	if told := h.b.told(audit.BrakeReset); s.State != brake.Open || s.Departures != 0 || s.Token.ID != "" || len(told) != 1 || told[0].Target.Name != "okta" {
		t.Errorf("reset as %+v, and told as %+v", s, told)
	}
	h.passes(time.Minute)
	h.stands(brake.Open, 0, 40, 8)
	h.a.takesOut(left[:8])
	h.a.wants(h.a.deletes(left[8]), http.StatusTooManyRequests)
	h.stands(brake.Held, 8, 40, 8)
}

func TestDecisionsThatAreRefused(t *testing.T) {
	h, _ := heldHouse(t)
	seen := h.standing()
	for name, until := range map[string]time.Time{"past": h.now().Add(-time.Hour), "now": h.now(), "far": h.now().Add(7*24*time.Hour + time.Second)} {
		_, err := h.a.brake.Release(t.Context(), admin, h.tenant, 0, until)
		wantFault(t, name, err, fault.Invalid, "bad-until")
		_, err = h.a.brake.Reject(t.Context(), admin, h.tenant, 0, until)
		wantFault(t, name, err, fault.Invalid, "bad-until")
	}
	_, err := h.a.brake.Release(t.Context(), admin, h.tenant, seen.Version+1, time.Time{})
	wantFault(t, "of another version", err, fault.Precondition, "changed-meanwhile")
	_, err = h.a.brake.Reject(t.Context(), admin, h.tenant, seen.Version, time.Time{})
	must(t, err)
	_, err = h.b.brake.Release(t.Context(), admin, h.tenant, seen.Version, time.Time{})
	wantFault(t, "of the version before", err, fault.Precondition, "changed-meanwhile")
	h.stands(brake.Rejected, 10, 50, 10)
	h.set(brake.Rules{Off: true})
	_, err = h.a.brake.Reset(t.Context(), admin, h.tenant, 0)
	wantFault(t, "of what is off", err, fault.Conflict, "brake-off")
	if n := len(h.a.told(audit.BrakeReleased)) + len(h.a.told(audit.BrakeReset)) + len(h.b.told(audit.BrakeReleased)); n != 0 {
		t.Errorf("%d records of what was not done", n)
	}
}

func wantFault(t *testing.T, what string, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.As(err); err == nil || f.Kind != kind || f.Code != code {
		t.Errorf("%s: %v", what, err)
	}
}

func TestP1_NothingIsHeldOrDecidedWithoutItsRecord(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(50)
	h.a.takesOut(all[:10])
	h.a.deafTo(audit.BrakeHeld)
	if got := h.a.deletes(all[10]); got.status != http.StatusInternalServerError || !h.active(all[10]) {
		t.Errorf("answered with %d: %s", got.status, got.text)
	}
	h.stands(brake.Open, 10, 50, 10)
	h.a.deafTo("")
	h.a.wants(h.a.deletes(all[10]), http.StatusTooManyRequests)
	for kind, decide := range map[audit.Type]func(context.Context, audit.Cause, identity.TenantID) error{
		audit.BrakeReleased: func(ctx context.Context, c audit.Cause, tenant identity.TenantID) error {
			_, err := h.a.brake.Release(ctx, c, tenant, 0, time.Time{})
			return err
		},
		audit.BrakeRejected: func(ctx context.Context, c audit.Cause, tenant identity.TenantID) error {
			_, err := h.a.brake.Reject(ctx, c, tenant, 0, time.Time{})
			return err
		},
		audit.BrakeReset: func(ctx context.Context, c audit.Cause, tenant identity.TenantID) error {
			_, err := h.a.brake.Reset(ctx, c, tenant, 0)
			return err
		},
	} {
		h.a.deafTo(kind)
		if err := decide(t.Context(), admin, h.tenant); err == nil {
			t.Errorf("%s: decided", kind)
		}
		h.stands(brake.Held, 10, 50, 10)
	}
}

// Whoever is refused at one node while others leave at another: all of them together are
// never more than may go, and never fewer.
func TestNodesCountTogether(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(60)
	h.a.takesOut(all[:4])
	var gone, held, other atomic.Int64
	var clients sync.WaitGroup
	next := make(chan identity.UserID)
	for i := range 8 {
		at := []*node{h.a, h.b}[i%2]
		clients.Go(func() {
			for id := range next {
				got := at.deletes(id)
				for got.status == http.StatusServiceUnavailable { // others were faster
					got = at.deletes(id)
				}
				switch got.status {
				case http.StatusNoContent:
					gone.Add(1)
				case http.StatusTooManyRequests:
					held.Add(1)
				default:
					other.Add(1)
					t.Errorf("answered with %d: %s", got.status, got.text)
				}
			}
		})
	}
	for _, id := range all[4:] {
		next <- id
	}
	close(next)
	clients.Wait()
	if gone.Load() != 8 || held.Load() != 48 || other.Load() != 0 {
		t.Errorf("%d have left and %d are held, of 12 who may leave and 4 who had", gone.Load(), held.Load())
	}
	h.stands(brake.Held, 12, 60, 12)
	there := 0
	for _, id := range all {
		if h.active(id) {
			there++
		}
	}
	if there != 48 {
		t.Errorf("%d are there", there)
	}
	// Each node that comes upon it in the same moment tells of it, and no more.
	if a, b := len(h.a.told(audit.BrakeHeld)), len(h.b.told(audit.BrakeHeld)); a > 1 || b > 1 || a+b == 0 {
		t.Errorf("told of by %d and %d records", a, b)
	}
}

// Whoever was let go by what another node has overtaken stays.
func TestANodeThatIsOvertakenPlansAgain(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(50)
	h.a.takesOut(all[:9])
	h.a.next = func(audit.Event) { h.b.wants(h.b.deletes(all[9]), http.StatusNoContent) }
	h.a.wants(h.a.deletes(all[10]), http.StatusTooManyRequests)
	h.stands(brake.Held, 10, 50, 10)
	if !h.active(all[10]) || h.active(all[9]) {
		t.Error("the wrong one has left")
	}
	var outcomes []audit.Outcome
	for _, e := range h.a.told(audit.UserDeleted) {
		if e.Target.ID == string(all[10]) {
			outcomes = append(outcomes, e.Outcome)
		}
	}
	if !slices.Equal(outcomes, []audit.Outcome{audit.Success, audit.Failed}) {
		t.Errorf("it is told as %v", outcomes)
	}

	// And of two that find it too much in the same moment, what is held stays as it is.
	h.passes(time.Second)
	_, err := h.a.brake.Reset(t.Context(), admin, h.tenant, 0)
	must(t, err)
	h.passes(time.Second)
	h.a.takesOut(all[11:19])
	h.a.next = func(e audit.Event) {
		if e.Type != audit.BrakeHeld {
			t.Errorf("%s in place of what is held", e.Type)
		}
		h.b.wants(h.b.deletes(all[20]), http.StatusTooManyRequests)
		h.passes(time.Second)
		_, err := h.b.brake.Reject(t.Context(), admin, h.tenant, 0, time.Time{})
		must(t, err)
	}
	h.a.wants(h.a.deletes(all[19]), http.StatusForbidden)
	h.stands(brake.Rejected, 8, 40, 8)

	// What is decided counts from that moment on, also for who is about to leave.
	h.passes(time.Second)
	_, err = h.a.brake.Reset(t.Context(), admin, h.tenant, 0)
	must(t, err)
	h.a.next = func(audit.Event) {
		_, err := h.b.brake.Reject(t.Context(), admin, h.tenant, 0, time.Time{})
		must(t, err)
	}
	h.a.wants(h.a.deletes(all[19]), http.StatusForbidden)
	if !h.active(all[19]) {
		t.Error("somebody has left after it was rejected")
	}
}

func TestWhoRunsTheGatewayKnows(t *testing.T) {
	h, _ := heldHouse(t)
	want := "10 of 50 active people were deactivated or deleted, or lost their last role, by SCIM or Google Workspace within 1h."
	known := func(n *node) string {
		var all []string
		for _, one := range n.brake.Held() {
			all = append(all, one.Why)
		}
		return strings.Join(all, " ")
	}
	if got := known(h.a); got != want {
		t.Errorf("the node that holds knows %q", got)
	}
	if got := known(h.b); got != "" {
		t.Errorf("the other knows %q", got)
	}
	h.b.brake.Look(t.Context())
	if got := known(h.b); got != want {
		t.Errorf("after a look it knows %q", got)
	}
	_, err := h.a.brake.Release(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	if got := known(h.a); got != "" {
		t.Errorf("after a release %q is known", got)
	}
	h.b.brake.LookAgain(t.Context())
	if got := known(h.b); got != "" {
		t.Errorf("after another look %q is known", got)
	}
	h.b.brake.Forget(h.tenant)
}

// Whoever was not active and is by now leaves all the same, and is counted, or stays.
func TestWhoIsActivatedMeanwhileIsCounted(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(20)
	inactive := func(id identity.UserID, active bool) {
		_, err := h.b.directory.UpdateUser(t.Context(), admin, h.tenant, id, 0, func(u *directory.User) error { u.Active = active; return nil })
		must(t, err)
	}
	inactive(all[0], false)
	h.a.next = func(audit.Event) { inactive(all[0], true) }
	h.a.wants(h.a.deletes(all[0]), http.StatusNoContent)
	if s := h.standing(); s.Departures != 1 {
		t.Errorf("%d have left", s.Departures)
	}
	h.a.takesOut(all[1:4])
	inactive(all[5], false)
	h.a.wants(h.a.deletes(all[4]), http.StatusTooManyRequests)
	h.a.next = func(audit.Event) { inactive(all[5], true) }
	h.a.wants(h.a.deletes(all[5]), http.StatusTooManyRequests)
	if !h.active(all[5]) {
		t.Error("somebody has left whom the brake has held")
	}
}
