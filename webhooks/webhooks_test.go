package webhooks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/internal/fault"
)

func TestChangesArriveSignedAndInOrder(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	h.a.person(h.tenant, "before")
	secret := h.a.put(h.tenant, "hr", r.URL+"/in?a=b")
	h.a.runs()
	for i := range 5 {
		h.a.person(h.tenant, fmt.Sprintf("p%d", i))
	}
	var all []feed.Notice
	for len(all) < 5 {
		m := r.next()
		if !verifies(secret, m) || m.message.Type != "directory.changes" || m.message.Data.Webhook != "hr" {
			t.Errorf("%s is signed with %q", m.body, m.signature)
		}
		at, err := strconv.ParseInt(m.at, 10, 64)
		if must(t, err); time.Since(time.Unix(at, 0)).Abs() > time.Minute {
			t.Errorf("it is of %s", m.at)
		}
		m.body[len(m.body)-2] ^= 1
		if verifies(secret, m) {
			t.Error("something else is signed")
		}
		all = append(all, m.message.Data.Events...)
		// The cursor leads on in the API.
		if p, err := h.a.feed.After(t.Context(), h.tenant, m.message.Data.Cursor, 10); err != nil || len(p.Events) > 5-len(all) {
			t.Errorf("the cursor gives %v, %v", p, err)
		}
	}
	for i, e := range all {
		if e.User == nil || e.User.UserName != fmt.Sprintf("p%d", i) {
			t.Errorf("%d is %+v", i, e)
		}
	}
	until(t, "everything is taken", func() bool { return h.a.hook("hr").Behind == 0 })
	deliveries, err := h.a.feed.Deliveries(t.Context(), h.tenant, "hr")
	if must(t, err); len(deliveries) == 0 || deliveries[0].Status != http.StatusNoContent || deliveries[0].Changes == 0 {
		t.Errorf("%+v", deliveries)
	}
}

func TestWhatIsNotTakenComesAgain(t *testing.T) {
	h := newHouse(t)
	var answer atomic.Int32
	answer.Store(http.StatusInternalServerError)
	r := h.receives(func(_ received, w http.ResponseWriter) { w.WriteHeader(int(answer.Load())) })
	h.a.put(h.tenant, "hr", r.URL)
	h.a.runs()
	h.a.person(h.tenant, "ada")
	first := r.next()
	until(t, "a failure", func() bool { return h.a.hook("hr").Failures == 1 })
	h.a.person(h.tenant, "bob") // changes nothing of when and what is tried again
	if w := h.a.hook("hr"); w.NextAt.Sub(h.now()) > 7*time.Second || w.NextAt.Before(h.now()) || w.FailingSince.IsZero() || w.Behind != 2 {
		t.Errorf("%+v", w)
	}
	r.nothing()
	for n := 2; n <= 4; n++ {
		h.passes(time.Hour)
		if again := r.next(); again.id != first.id || len(again.message.Data.Events) != 1 {
			t.Errorf("it comes again as %s: %s", again.id, again.body)
		}
		until(t, "another failure", func() bool { return h.a.hook("hr").Failures == n })
	}
	answer.Store(http.StatusOK)
	h.passes(time.Hour)
	if m := r.next(); m.id != first.id {
		t.Errorf("it comes again as %s", m.id)
	}
	if m := r.next(); m.message.Data.Events[0].User.UserName != "bob" {
		t.Errorf("after it comes %s", m.body)
	}
	until(t, "all is well", func() bool { w := h.a.hook("hr"); return w.Failures == 0 && w.FailingSince.IsZero() && w.Behind == 0 })
	deliveries, err := h.a.feed.Deliveries(t.Context(), h.tenant, "hr")
	if must(t, err); len(deliveries) != 6 || deliveries[5].Status != http.StatusInternalServerError || deliveries[5].MessageID != first.id {
		t.Errorf("%+v", deliveries)
	}
}

func TestWhoSaysGoneIsSentNothingMore(t *testing.T) {
	h := newHouse(t)
	r := h.receives(status(http.StatusGone))
	h.a.put(h.tenant, "hr", r.URL+"/secret-path")
	h.a.runs()
	h.a.person(h.tenant, "ada")
	r.next()
	until(t, "it is stopped", func() bool { return h.a.hook("hr").Stopped == feed.StoppedGone })
	h.passes(time.Hour)
	h.a.person(h.tenant, "bob")
	until(t, "the alert", func() bool {
		s := h.a.feed.Stopped()
		return len(s) == 1 && s[0].Tenant == h.tenant && strings.Contains(s[0].Why, "hr")
	})
	r.nothing()
	told := 0
	for e, err := range h.a.journal.Read(t.Context(), h.tenant, 0) {
		if must(t, err); e.Type == audit.WebhookDisabled {
			told++
			if e.Reason != "gone" || e.Target.Name != "hr" || e.Details["status"] != "410" {
				t.Errorf("told as %+v", e)
			}
		}
		for _, value := range e.Details {
			if strings.Contains(value, "secret-path") || strings.Contains(value, "whsec_") {
				t.Errorf("a record holds %q", value)
			}
		}
	}
	if told != 1 {
		t.Errorf("%d records", told)
	}
	// Enabling it again goes on where it was.
	ok := h.receives(nil)
	h.a.put(h.tenant, "hr", ok.URL)
	if got := ok.events(2); got[0].User.UserName != "ada" || got[1].User.UserName != "bob" {
		t.Error(got)
	}
	if len(h.a.feed.Stopped()) != 0 {
		t.Error("the alert stays")
	}
}

func TestWhoFailsForDaysIsGivenUp(t *testing.T) {
	h := newHouse(t)
	r := h.receives(status(http.StatusServiceUnavailable))
	h.a.put(h.tenant, "hr", r.URL)
	h.a.runs()
	h.a.person(h.tenant, "ada")
	r.next()
	for days := range 4 {
		until(t, "a failure", func() bool { return h.a.hook("hr").Failures == days+1 })
		if days == 3 {
			break
		}
		if stopped := h.a.hook("hr").Stopped; stopped != "" {
			t.Errorf("it is stopped after %d days: %q", days, stopped)
		}
		h.passes(24 * time.Hour)
		r.next()
	}
	until(t, "it is stopped", func() bool { return h.a.hook("hr").Stopped == feed.StoppedFailing })
}

func TestARedirectIsNotFollowed(t *testing.T) {
	h := newHouse(t)
	inside := h.receives(nil)
	r := h.receives(func(_ received, w http.ResponseWriter) {
		w.Header().Set("Location", inside.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	h.a.put(h.tenant, "hr", r.URL)
	h.a.runs()
	h.a.person(h.tenant, "ada")
	r.next()
	until(t, "a failure", func() bool { return h.a.hook("hr").Failures == 1 })
	inside.nothing()
}

func TestAnEndlessAnswerIsCutShort(t *testing.T) {
	h := newHouse(t)
	gone := make(chan struct{})
	r := h.receives(func(_ received, w http.ResponseWriter) {
		defer close(gone)
		w.WriteHeader(http.StatusOK)
		for block := make([]byte, 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	h.a.put(h.tenant, "hr", r.URL)
	h.a.runs()
	h.a.person(h.tenant, "ada")
	r.next()
	<-gone
	until(t, "it is taken", func() bool { return h.a.hook("hr").Behind == 0 })
}

// A receiver that hangs holds up nobody: not the change, not another webhook, not another
// tenant, and not the gateway's stop.
func TestAReceiverThatHangsHoldsUpNobody(t *testing.T) {
	h := newHouse(t)
	hangs, release := make(chan struct{}, 10), make(chan struct{})
	slow := h.receives(func(received, http.ResponseWriter) { hangs <- struct{}{}; <-release })
	defer close(release)
	fast, elsewhere := h.receives(nil), h.receives(nil)
	h.a.put(h.tenant, "slow", slow.URL)
	h.a.put(h.tenant, "fast", fast.URL)
	h.a.put(h.other, "hr", elsewhere.URL)
	stop := h.a.runs()
	h.a.person(h.tenant, "ada")
	<-hangs
	for i := range 5 {
		h.a.person(h.tenant, fmt.Sprintf("p%d", i))
		h.a.person(h.other, fmt.Sprintf("o%d", i))
	}
	fast.events(6)
	elsewhere.events(5)
	stop()
	if w := h.a.hook("slow"); w.Failures != 0 || w.Behind != 6 {
		t.Errorf("that we stop is held against it: %+v", w)
	}
}

// What changes while nobody sends is sent once somebody does: nothing but SQL knows of it.
func TestNothingIsLostBetweenTheChangeAndItsDelivery(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	h.a.put(h.tenant, "hr", r.URL)
	for i := range 250 {
		h.a.person(h.tenant, fmt.Sprintf("u%d", i))
	}
	h.b.runs() // which has heard of nothing
	all := r.events(250)
	for i, e := range all {
		if e.User.UserName != fmt.Sprintf("u%d", i) {
			t.Fatalf("%d is %s", i, e.User.UserName)
		}
	}
}

func TestNothingIsSentOfATenantThatIsSuspended(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	h.a.put(h.tenant, "hr", r.URL)
	stop := h.a.runs()
	h.a.person(h.tenant, "ada")
	r.next()
	until(t, "it is taken", func() bool { return h.a.hook("hr").Behind == 0 })
	h.suspended.Store(true)
	h.a.person(h.tenant, "bob")
	h.passes(time.Hour)
	stop()
	r.nothing()
	h.suspended.Store(false)
	h.a.runs()
	if all := r.events(1); all[0].User.UserName != "bob" {
		t.Errorf("%+v", all)
	}
}

func TestARotatedSecretIsInUseForADayMore(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	old := h.a.put(h.tenant, "hr", r.URL)
	w, fresh, err := h.a.feed.Rotate(t.Context(), admin, h.tenant, "hr", 1)
	must(t, err)
	if _, _, err := h.a.feed.Rotate(t.Context(), admin, h.tenant, "hr", 1); !fault.Is(err, fault.Precondition) {
		t.Errorf("an old version is rotated: %v", err)
	}
	if fresh == old || w.PreviousUntil.Sub(h.now()) > feed.Overlap || w.PreviousUntil.Sub(h.now()) < feed.Overlap-time.Minute {
		t.Errorf("%+v", w)
	}
	h.a.runs()
	h.a.person(h.tenant, "ada")
	if m := r.next(); !verifies(old, m) || !verifies(fresh, m) || len(strings.Fields(m.signature)) != 2 {
		t.Errorf("signed by %q", m.signature)
	}
	h.passes(feed.Overlap + time.Second)
	h.a.person(h.tenant, "bob")
	if m := r.next(); verifies(old, m) || !verifies(fresh, m) {
		t.Errorf("signed by %q", m.signature)
	}
	if _, shown, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "hr", URL: r.URL, Enabled: true}); err != nil || shown != "" {
		t.Errorf("a secret is shown twice: %v", err)
	}
}

func TestOnlyWhatIsAskedForArrives(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	h.a.put(h.tenant, "hr", r.URL, directory.UserDeleted)
	ada := h.a.person(h.tenant, "ada")
	for i := range 120 {
		h.a.person(h.tenant, fmt.Sprintf("u%d", i))
	}
	must(t, h.a.people.DeleteUser(t.Context(), admin, h.tenant, ada.ID, 0))
	h.a.person(h.tenant, "bob")
	h.a.runs()
	if all := r.events(1); len(all) != 1 || all[0].Deleted == nil || all[0].Deleted.Name != "ada" {
		t.Errorf("%+v", all)
	}
	until(t, "the rest is passed over", func() bool { return h.a.hook("hr").Behind == 0 })
	r.nothing()
}

// Who is too far behind is told so, and goes on from there.
func TestAGapIsToldOf(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	h.a.put(h.tenant, "hr", r.URL)
	h.a.person(h.tenant, "ada")
	h.passes(8 * 24 * time.Hour)
	must(t, h.a.feed.Sweep(t.Context(), h.tenant))
	h.a.runs()
	m := r.next()
	if m.message.Type != "directory.gap" || len(m.message.Data.Events) != 0 {
		t.Fatalf("%s", m.body)
	}
	if _, err := h.a.feed.After(t.Context(), h.tenant, m.message.Data.Cursor, 10); err != nil {
		t.Errorf("it does not lead on: %v", err)
	}
	h.a.person(h.tenant, "bob")
	if all := r.events(1); all[0].User.UserName != "bob" {
		t.Errorf("%+v", all)
	}
}

func TestATestTellsWhatBecameOfIt(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	secret := h.a.put(h.tenant, "hr", r.URL)
	h.a.person(h.tenant, "ada")
	a, err := h.a.webhooks.Test(t.Context(), h.tenant, "hr")
	if must(t, err); a.Status != http.StatusNoContent {
		t.Errorf("%+v", a)
	}
	if m := r.next(); m.message.Type != "webhook.test" || !verifies(secret, m) {
		t.Errorf("%s", m.body)
	}
	if w := h.a.hook("hr"); w.Behind != 1 {
		t.Errorf("%+v", w)
	}
	r.Close()
	a, err = h.a.webhooks.Test(t.Context(), h.tenant, "hr")
	if must(t, err); a.Status != 0 || a.Problem != "no answer" {
		t.Errorf("%+v", a)
	}
	const notThere = "there is no such name, or it may not be reached from here"
	for url, want := range map[string]string{strings.Replace(h.receives(nil).URL, "127.0.0.1", "localhost", 1): "the certificate is not trusted", "https://10.0.0.1/x": notThere, "https://no.such.name.invalid/x": notThere} {
		h.a.put(h.tenant, "hr", url)
		if a, err := h.a.webhooks.Test(t.Context(), h.tenant, "hr"); err != nil || a.Problem != want {
			t.Errorf("%s: %+v, %v", url, a, err)
		}
	}
	if w := h.a.hook("hr"); w.Failures != 0 {
		t.Errorf("%+v", w)
	}
	if _, err := h.a.webhooks.Test(t.Context(), h.other, "hr"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant's is tested: %v", err)
	}
	if deliveries, err := h.a.feed.Deliveries(t.Context(), h.tenant, "hr"); err != nil || len(deliveries) != 5 {
		t.Errorf("%+v, %v", deliveries, err)
	}
	for n := 0; ; n++ {
		_, err := h.a.webhooks.Test(t.Context(), h.tenant, "hr")
		if err == nil && n < 20 { // some time has passed since the first
			continue
		}
		if f := fault.As(err); !fault.Is(err, fault.TooMany) || f.RetryAfter <= 0 {
			t.Errorf("test %d: %v", n, err)
		}
		break
	}
}

func TestWebhooksThatAreRefused(t *testing.T) {
	h := newHouse(t)
	for _, url := range []string{"", "http://hr.example/", "ftp://hr.example", "https://", "https://u:p@hr.example", "https://hr.example/#x", "https://hr.example/" + strings.Repeat("x", 3000), "/x", "https://hr.example:x"} {
		if _, _, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "hr", URL: url}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40q is taken: %v", url, err)
		}
	}
	for _, name := range []string{"", "-a", "A", "a_b", strings.Repeat("a", 64)} {
		if _, _, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: name, URL: "https://hr.example"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is taken: %v", name, err)
		}
	}
	for _, types := range [][]directory.ChangeType{{"user.x"}, {directory.UserCreated, directory.UserCreated}} {
		if _, _, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "hr", URL: "https://hr.example", Types: types}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v is taken: %v", types, err)
		}
	}
	for i := range feed.MaxWebhooks {
		h.a.put(h.tenant, fmt.Sprintf("w%d", i), "https://hr.example")
	}
	if _, _, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "more", URL: "https://hr.example"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("one too many is taken: %v", err)
	}
	must(t, h.a.feed.DeleteWebhook(t.Context(), admin, h.tenant, "w0", 1))
	h.a.put(h.tenant, "more", "https://hr.example")
	if _, _, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "more", URL: "https://hr.example", Version: 7}); !fault.Is(err, fault.Precondition) {
		t.Errorf("another version is replaced: %v", err)
	}
}

// What the guide tells receivers to do takes what we send, and nothing else.
func TestTheSampleOfTheGuideTakesWhatIsSent(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	h := newHouse(t)
	r := h.receives(nil)
	secret := h.a.put(h.tenant, "hr", r.URL)
	if _, err := h.a.webhooks.Test(t.Context(), h.tenant, "hr"); err != nil {
		t.Fatal(err)
	}
	m := r.next()
	run := exec.Command(python, "-c", guide(t)+`
import json, sys
m = json.load(sys.stdin)
body = base64.b64decode(m["body"])
print(verified(m["secret"], m["headers"], body), verified(m["secret"], m["headers"], body + b" "))
`)
	in, err := json.Marshal(map[string]any{"secret": secret, "body": m.body, "headers": map[string]string{"webhook-id": m.id, "webhook-timestamp": m.at, "webhook-signature": m.signature}})
	must(t, err)
	run.Stdin = bytes.NewReader(in)
	out, err := run.CombinedOutput()
	if must(t, err); strings.TrimSpace(string(out)) != "True False" {
		t.Errorf("%s", out)
	}
}
