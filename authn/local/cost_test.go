package local_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/internal/store"
)

// patience is how long something may take on a busy machine.
const patience = 2 * time.Minute

// A hash is written as its readers expect it, costs what RFC 9106 recommends, and
// nothing else is read for one.
func TestHashes(t *testing.T) {
	if (local.Recommended != local.Cost{Memory: 64 << 10, Passes: 3, Threads: 4}) {
		t.Errorf("the cost is %+v", local.Recommended)
	}
	text := local.WriteHash(secret, cheap)
	if !strings.HasPrefix(text, "$argon2id$v=19$m=64,t=1,p=1$") || !local.Same(text, secret) || local.Same(text, secret+" ") {
		t.Errorf("hashed as %s", text)
	}
	if text == local.WriteHash(secret, cheap) {
		t.Error("two people with one password have one hash")
	}
	// By the reference implementation: argon2 -id -t 2 -m 16 -p 1, "password" with "somesalt".
	if !local.Same("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password") {
		t.Error("a hash of the reference implementation is another one")
	}
	for _, bad := range []string{
		"", "$", "x" + text, text + "$", text + "=", strings.Replace(text, "argon2id", "argon2i", 1), strings.Replace(text, "v=19", "v=16", 1),
		strings.Replace(text, "m=64", "m=064", 1), strings.Replace(text, "m=64", "m=0", 1), strings.Replace(text, "m=64", "m=99999999", 1), strings.Replace(text, "m=64", "m=4294967360", 1),
		strings.Replace(text, "t=1", "t=0", 1), strings.Replace(text, "t=1", "t=1000", 1), strings.Replace(text, "p=1", "p=0", 1), strings.Replace(text, "p=1", "p=257", 1),
		strings.Replace(text, "m=64,t=1", "t=1,m=64", 1), strings.Replace(text, ",p=1", "", 1), strings.Replace(text, "m=64", "m=+64", 1),
		"$argon2id$v=19$m=64,t=1,p=1$$", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$c29tZQ", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHR$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		if read, err := local.ReadHash(bad); err == nil {
			t.Errorf("%q is read as %q", bad, read)
		}
	}
}

// Passwords are long and nobody else's; of what they are made, nothing is asked.
func TestPasswords(t *testing.T) {
	about := []string{"ann.archer", "ann.archer@acme.test", "Ann Archer"}
	for _, good := range []string{"several words of mine", "ünïcödé löng énough", "日本語の長い合言葉です、ね", "            x", "ann archer and her dog", strings.Repeat("long ", 50) + "words.", "8347 2983 1029"} {
		if _, err := local.CheckPassword(good, about...); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "elevenchars", "日本語の合言葉です", "\xffseveral words of mine", strings.Repeat("long ", 51) + "words.", strings.Repeat("x", 5000),
		"password1234", "PassWord1234", "correct horse battery staple", "aaaaaaaaaaaaaaaa", "abcabcabcabc", "123456789012", "abcdefghijklmno", "zyxwvutsrqponm",
		"ann.archer@acme.test", "ANN.ARCHER@acme.test", "Ann Archer 1987", "ann.archer!!!1", "",
	} {
		if kept, err := local.CheckPassword(bad, about...); err == nil {
			t.Errorf("%q was taken, as %q", bad, kept)
		}
	}
	composed, _ := local.CheckPassword("caf\u00e9 au lait et croissant")
	typed, _ := local.CheckPassword("cafe\u0301 au lait et croissant")
	if composed != typed || composed == "" {
		t.Errorf("%q and %q", composed, typed)
	}
}

// Where no slot comes free, whoever waits is asked to come back, and those who are no
// strangers are not held up.
func TestHashingIsBounded(t *testing.T) {
	w := newWorld(t)
	_, key := w.owner("ann@acme.test")
	home := w.browser()
	home.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	home.post("/.gatehouse/logout", url.Values{})
	guesses := make([]func() page, 40)
	for i := range guesses {
		b := w.browser().from("198.51.100." + strconv.Itoa(i))
		form := with(b.begins().hidden("do", "password"), "address", "n"+strconv.Itoa(i)+"@acme.test", "password", "a guess of somebody's")
		guesses[i] = func() page { return b.post(authn.PathLocal, form) }
	}
	free := w.Fill()
	var waiting sync.WaitGroup
	statuses := make(chan int, len(guesses))
	for _, guess := range guesses {
		waiting.Go(func() { statuses <- guess().status })
	}
	// Who finds no place is told at once; meanwhile people sign in.
	for deadline := time.Now().Add(patience); len(statuses) < len(guesses)-local.MaxOfTenant; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d were told", len(statuses))
		}
	}
	home.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	waiting.Wait()
	free()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	if count[http.StatusServiceUnavailable] != 40 {
		t.Errorf("answered %v", count)
	}
}

// What one tenant's people, or whoever comes as them, have hashed keeps nobody of
// another tenant from being served: of the places in the queue each has but a few.
func TestP3_ATenantsFloodHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := local.NewSlots(1)
		var all sync.WaitGroup
		var refused atomic.Int64
		open := make(chan struct{})
		for range 100 {
			all.Go(func() {
				free, err := slots.Take(t.Context(), "acme")
				if err != nil {
					refused.Add(1)
					return
				}
				<-open
				free()
			})
		}
		synctest.Wait()
		if n := refused.Load(); n != 100-local.MaxOfTenant {
			t.Errorf("%d were refused at once", n)
		}
		served := false
		all.Go(func() {
			free, err := slots.Take(t.Context(), "globex")
			if err != nil {
				t.Errorf("another tenant's: %v", err)
				return
			}
			served = true
			free()
		})
		synctest.Wait()
		close(open)
		all.Wait()
		if !served {
			t.Error("the other tenant's was not served")
		}
		// All places are free again.
		for range local.MaxOfTenant {
			free, err := slots.Take(t.Context(), "acme")
			must(t, err)
			free()
		}
	})
}

// One link has so much looked at and no more, right or wrong.
func TestALinkIsTriedSoOften(t *testing.T) {
	w := newWorld(t)
	link, other := w.invites(w.acme, w.person(w.acme, "ann@acme.test")), w.invites(w.acme, w.person(w.acme, "kim@acme.test"))
	b := w.browser()
	p := b.post(local.PathInvitation, b.open(link).hidden("kind", "totp"))
	before, began := w.Hashes(), time.Now()
	for range 2 * local.PerLink.Burst {
		if p = b.post(local.PathInvitation, with(p.hidden("do", "accept"), "password", secret, "code", "000000")); p.status == http.StatusTooManyRequests {
			break
		}
	}
	p.has(http.StatusTooManyRequests, "tried too often")
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if all := w.journal.all(audit.AccessRefused); all[len(all)-1].Reason != "too-many-tries" {
		t.Errorf("recorded %s", all[len(all)-1].Reason)
	}
	if n, back := w.Hashes()-before, int64(time.Since(began)/local.PerLink.Every); n > int64(local.PerLink.Burst)+back+5 {
		t.Errorf("%d hashes", n)
	}
	_, done := w.browser().choosesPassword(other, secret)
	done.has(http.StatusOK, "Your account is set up")
}

// A password is hashed at the present cost once its person shows it.
func TestAPasswordIsHashedAnewWhenItsCostChanges(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	kept := func() string {
		t.Helper()
		var text []byte
		must(t, w.db.Tenant(w.acme.ID).Read(t.Context(), func(tx *store.Tx) error {
			sealed, err := store.One(t.Context(), tx, store.Scalar[[]byte], `SELECT password FROM local_accounts`)
			must(t, err)
			text, err = w.keys.Open(t.Context(), w.acme.ID, "authn.local-password."+string(ann), sealed)
			return err
		}))
		return string(text)
	}
	dearer := cheap
	dearer.Passes = 2
	*w.Service = *w.node(dearer)
	w.browser().enters("ann@acme.test", "not it, not it").has(http.StatusForbidden)
	if !strings.Contains(kept(), "t=1") {
		t.Errorf("a wrong password was kept: %s", kept())
	}
	w.browser().signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	if text := kept(); !strings.Contains(text, "t=2") || !local.Same(text, secret) {
		t.Errorf("kept %s", text)
	}
	before := w.Hashes()
	w.browser().signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	if n := w.Hashes() - before; n != 1 {
		t.Errorf("%d hashes", n)
	}
}

func FuzzHash(f *testing.F) {
	for _, seed := range []string{local.WriteHash(secret, cheap), "", "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=1,t=1,p=1$$", "$2y$10$x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if read, err := local.ReadHash(text); err == nil && read != text {
			t.Errorf("%q is read as %q", text, read)
		}
	})
}

func FuzzPassword(f *testing.F) {
	for _, seed := range []string{secret, "", "password1234", "cafe\u0301 au lait et croissant", "\xff", strings.Repeat("x", 300)} {
		f.Add(seed, "ann@acme.test")
	}
	f.Fuzz(func(t *testing.T, typed, about string) {
		kept, err := local.CheckPassword(typed, about)
		if err != nil {
			return
		}
		again, err := local.CheckPassword(kept, about)
		if err != nil || again != kept || !utf8.ValidString(kept) || len(kept) > 256 || utf8.RuneCountInString(kept) < 12 {
			t.Errorf("%q is kept as %q, and that as %q: %v", typed, kept, again, err)
		}
	})
}

func FuzzInvitationToken(f *testing.F) {
	for _, seed := range []string{local.NewToken(), "", strings.Repeat("A", 43), strings.Repeat("A", 42) + "B", strings.Repeat("A", 44), "../../x"} {
		f.Add(seed)
	}
	w := newWorld(f)
	w.invites(w.acme, w.person(w.acme, "ann@acme.test"))
	b := w.browser()
	f.Fuzz(func(t *testing.T, token string) {
		if local.IsToken(token) && (len(token) != 43 || strings.ContainsAny(token, " \r\n=")) {
			t.Errorf("%q is taken for a token", token)
		}
		b.t = t
		p := b.open(local.PathInvitation + "?" + url.Values{"token": {token}}.Encode())
		if p.status != http.StatusForbidden || strings.Contains(p.body, "ann@acme.test") {
			t.Errorf("%q leads to %d", token, p.status)
		}
	})
}

// Whatever a form says, nobody who has shown nothing is signed in, and nothing breaks.
func FuzzForm(f *testing.F) {
	w := newWorld(f)
	w.owner("ann@acme.test")
	b := w.browser()
	p := b.begins()
	state := p.hidden("do", "password").Get("state")
	for _, seed := range []string{"do=password&address=ann@acme.test&password=x", "do=code&kind=totp&code=000000&kept=AAAA", "do=passkey&credential={}&kept=" + p.hidden("do", "passkey").Get("kept"),
		"do=code&kept=" + p.hidden("do", "passkey").Get("kept"), "do=", "do=code&kind=recovery-code&code=%00", "%zz", "do=password&do=code&address=%ff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		b.t = t
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+authn.PathLocal, strings.NewReader(form+"&state="+state))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if p := b.read(b.Do(r)); p.status < 400 || p.status >= 500 {
			t.Errorf("%q is answered with %d: %s", form, p.status, p.body)
		}
	})
}
