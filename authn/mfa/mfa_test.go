package mfa_test

import (
	"bytes"
	"image/png"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/mfa"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func TestAnAuthenticatorApp(t *testing.T) {
	w := newWorld(t)
	offer, err := w.Offer(t.Context(), ann, authn.TOTP, nil)
	must(t, err)
	if _, err := png.Decode(bytes.NewReader(offer.QR)); err != nil || len(offer.Key) != 32 || !strings.HasPrefix(offer.URL, "otpauth://totp/Acme:usr_ann@acme.example?") {
		t.Errorf("offered %q, %q, %v", offer.URL, offer.Key, err)
	}
	again, err := w.Offer(t.Context(), ann, authn.TOTP, offer.Private)
	if err != nil || again.Key != offer.Key {
		t.Errorf("once more: %q, %v", again.Key, err)
	}
	enrol := func(code string) error {
		_, _, err := w.Enrol(t.Context(), audit.SystemCause(), ann, authn.Enrolment{Private: again.Private, Name: " My phone ", First: true,
			Proof: authn.Proof{Kind: authn.TOTP, Value: code}})
		return err
	}
	for _, wrong := range []string{"", "123", "abcdef", w.code(offer.Key, 5), strings.Repeat("1", 10000)} {
		if got := reasonOf(enrol(wrong)); got != "factor-wrong" {
			t.Errorf("%.20q: %s", wrong, got)
		}
	}
	if held := w.held(ann); len(held.Factors) != 0 || held.RecoveryCodes != 0 || len(w.journal.all(audit.FactorAdded)) != 0 {
		t.Fatalf("wrong codes added %+v", held)
	}
	must(t, enrol(w.code(offer.Key, 0)))
	if got := reasonOf(enrol(w.code(offer.Key, 1))); got != "factor-exists" {
		t.Errorf("taken up twice: %s", got)
	}
	held := w.held(ann)
	if len(held.Factors) != 1 || held.Factors[0].Name != "My phone" || held.Factors[0].Kind != authn.TOTP || held.RecoveryCodes != 10 {
		t.Errorf("held: %+v", held)
	}
	if added := w.journal.all(audit.FactorAdded); len(added) != 1 || added[0].Target.ID != held.Factors[0].ID || added[0].Details["kind"] != "totp" {
		t.Errorf("recorded as %+v", added)
	}
	// The code by which it was added is used, as are all before it.
	for _, periods := range []int{-1, 0} {
		if got := reasonOf(w.enter(ann, authn.TOTP, w.code(offer.Key, periods))); got != "factor-used" {
			t.Errorf("%d periods from now: %q", periods, got)
		}
	}
}

// A code is good once, whichever node it comes to.
func TestACodeIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	key, _ := w.app(ann, "app")
	code := w.code(key, 0)
	results := make(chan string, 2)
	var wg sync.WaitGroup
	for _, node := range []*mfa.Service{w.Service, w.other} {
		wg.Go(func() {
			_, err := node.Verify(t.Context(), ann, nil, authn.Proof{Kind: authn.TOTP, Value: code[:3] + " " + code[3:]})
			results <- reasonOf(err)
		})
	}
	wg.Wait()
	if got := []string{<-results, <-results}; !slices.Contains(got, "") || !slices.Contains(got, "factor-used") {
		t.Errorf("two at once: %q", got)
	}
	if got := reasonOf(w.enter(ann, authn.TOTP, code)); got != "factor-used" {
		t.Errorf("once more: %q", got)
	}
	w.advance(30 * time.Second)
	if got := reasonOf(w.enter(ann, authn.TOTP, code)); got != "factor-used" {
		t.Errorf("half a minute later: %q", got)
	}
	shown, err := w.Verify(t.Context(), ann, nil, authn.Proof{Kind: authn.TOTP, Value: w.code(key, 0)})
	if err != nil || !slices.Equal(shown.AMR, []string{"otp", "mfa"}) {
		t.Errorf("the next code: %+v, %v", shown, err)
	}
	w.advance(30 * time.Second)
	if got := reasonOf(w.enter(ann, authn.TOTP, w.code(key, -1))); got != "factor-used" {
		t.Errorf("an older code: %q", got)
	}
	if got := reasonOf(w.enter(ann, authn.TOTP, w.code(key, 1))); got != "" {
		t.Errorf("of a phone that is ahead: %q", got)
	}
}

func TestRecoveryCodesAreGoodOnce(t *testing.T) {
	w := newWorld(t)
	_, codes := w.app(ann, "app")
	if len(codes) != 10 || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != 10 {
		t.Fatalf("codes %q", codes)
	}
	for _, code := range codes {
		if letters := strings.ReplaceAll(code, "-", ""); len(letters) != 16 || strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz234567") != "" { // 80 bits
			t.Errorf("code %q", code)
		}
	}
	results := make(chan string, 2)
	var wg sync.WaitGroup
	for _, node := range []*mfa.Service{w.Service, w.other} {
		wg.Go(func() {
			_, err := node.Verify(t.Context(), ann, nil, authn.Proof{Kind: authn.RecoveryCode, Value: codes[0]})
			results <- reasonOf(err)
		})
	}
	wg.Wait()
	if got := []string{<-results, <-results}; !slices.Contains(got, "") || !slices.Contains(got, "factor-wrong") {
		t.Errorf("two at once: %q", got)
	}
	if err := w.enter(ann, authn.RecoveryCode, " "+strings.ToUpper(strings.ReplaceAll(codes[1], "-", " "))+"\t"); err != nil {
		t.Errorf("typed otherwise: %v", err)
	}
	if got := reasonOf(w.enter(ben, authn.RecoveryCode, codes[2])); got != "factor-wrong" {
		t.Errorf("somebody else's: %q", got)
	}
	if left := w.held(ann).RecoveryCodes; left != 8 {
		t.Errorf("%d are left", left)
	}
	made, err := w.RenewCodes(t.Context(), audit.SystemCause(), ann)
	must(t, err)
	if got := reasonOf(w.enter(ann, authn.RecoveryCode, codes[3])); got != "factor-wrong" || w.held(ann).RecoveryCodes != 10 {
		t.Errorf("an old one: %q", got)
	}
	must(t, w.enter(ann, authn.RecoveryCode, made[0]))
	if _, err := w.RenewCodes(t.Context(), audit.SystemCause(), ben); reasonOf(err) != "no-such-factor" {
		t.Errorf("for somebody without a factor: %v", err)
	}
	if len(w.journal.all(audit.RecoveryCodesMade)) != 3 { // one of them is of whom nothing came
		t.Errorf("%d records", len(w.journal.all(audit.RecoveryCodesMade)))
	}
}

// Wrong codes slow down the next ones of their kind and person, and nothing else.
func TestWrongCodesSlowDown(t *testing.T) {
	w := newWorld(t)
	key, codes := w.app(ann, "app")
	passkey, _ := w.passkey(ann, "key")
	benKey, _ := w.app(ben, "app")
	for range 5 {
		if got := reasonOf(w.enter(ann, authn.TOTP, "000000")); got != "factor-wrong" {
			t.Fatal(got)
		}
	}
	limited := func(want time.Duration) {
		t.Helper()
		f := fault.As(w.enter(ann, authn.TOTP, w.code(key, 0)))
		if f.Kind != fault.TooMany || f.RetryAfter > want || f.RetryAfter < want-time.Second {
			t.Fatalf("not limited for %v: %v, %v", want, f.RetryAfter, f)
		}
	}
	limited(30 * time.Second)
	_, err := w.other.Verify(t.Context(), ann, nil, authn.Proof{Kind: authn.TOTP, Value: w.code(key, 0)})
	if !fault.Is(err, fault.TooMany) {
		t.Errorf("on another node: %v", err)
	}
	if _, err := w.show(ann, passkey); err != nil {
		t.Errorf("a passkey: %v", err)
	}
	must(t, w.enter(ann, authn.RecoveryCode, codes[0]))
	must(t, w.enter(ben, authn.TOTP, w.code(benKey, 0)))
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		w.advance(wait / 2)
		if got := reasonOf(w.enter(ann, authn.TOTP, "000000")); got != "factor-wrong" {
			t.Fatal(got)
		}
		limited(wait)
	}
	for range 20 {
		w.advance(time.Hour)
		if got := reasonOf(w.enter(ann, authn.TOTP, "000000")); got != "factor-wrong" {
			t.Fatal(got)
		}
	}
	limited(time.Hour)
	w.advance(time.Hour)
	must(t, w.enter(ann, authn.TOTP, w.code(key, 0))) // and all is forgotten
	for range 4 {
		if got := reasonOf(w.enter(ann, authn.TOTP, "000000")); got != "factor-wrong" {
			t.Fatal(got)
		}
	}
	w.advance(25 * time.Hour) // as it is in time
	for range 4 {
		if got := reasonOf(w.enter(ann, authn.TOTP, "000000")); got != "factor-wrong" {
			t.Fatal(got)
		}
	}
}

// However many come at once, no more of them are looked at than one after another.
func TestWrongCodesAtOnceAreCounted(t *testing.T) {
	w := newWorld(t)
	w.app(ann, "app")
	var wg sync.WaitGroup
	results := make(chan string, 30)
	for i := range cap(results) {
		node := []*mfa.Service{w.Service, w.other}[i%2]
		wg.Go(func() {
			_, err := node.Verify(t.Context(), ann, nil, authn.Proof{Kind: authn.TOTP, Value: "000000"})
			results <- reasonOf(err)
		})
	}
	wg.Wait()
	close(results)
	looked := 0
	for got := range results {
		switch got {
		case "factor-wrong":
			looked++
		case "too-many-codes":
		default:
			t.Error(got)
		}
	}
	if looked != 5 {
		t.Errorf("%d were looked at", looked)
	}
}

func TestAPasskey(t *testing.T) {
	w := newWorld(t)
	p, codes := w.passkey(ann, "laptop")
	if len(codes) != 10 || string(p.Handle) != "usr_ann" {
		t.Errorf("%d codes, for %q", len(codes), p.Handle)
	}
	offer, err := w.Offer(t.Context(), ann, authn.Passkey, nil)
	must(t, err)
	said := fields(t, offer.Options)
	selection, _ := said["authenticatorSelection"].(map[string]any)
	exclude, _ := said["excludeCredentials"].([]any)
	if selection["userVerification"] != "required" || len(exclude) != 1 || said["attestation"] != "none" {
		t.Errorf("offered %s", offer.Options)
	}
	asked, err := w.Ask(t.Context(), ann)
	must(t, err)
	if said := fields(t, asked.Options); said["userVerification"] != "required" || said["rpId"] != host {
		t.Errorf("asked %s", asked.Options)
	}
	shown, err := w.show(ann, p)
	if err != nil || !slices.Equal(shown.AMR, []string{"hwk", "user", "mfa"}) {
		t.Errorf("shown %+v, %v", shown, err)
	}
	synced := mfatest.New(t, origin, host)
	synced.Flags |= mfatest.BackupEligible
	_, err = w.enrolPasskey(ann, synced, "synced")
	must(t, err)
	if shown, err := w.show(ann, synced); err != nil || !slices.Equal(shown.AMR, []string{"swk", "user", "mfa"}) {
		t.Errorf("a synchronised one: %+v, %v", shown, err)
	}
	elsewhere := ann
	elsewhere.Origin = "https://other.test"
	if _, err := w.Ask(t.Context(), elsewhere); !fault.Is(err, fault.NotFound) {
		t.Errorf("at another host: %v", err)
	}
	elsewhere.Origin = "https://192.0.2.1"
	if _, err := w.Offer(t.Context(), elsewhere, authn.Passkey, nil); reasonOf(err) != "no-passkeys-here" {
		t.Errorf("at an address: %v", err)
	}
	if _, err := w.Ask(t.Context(), ben); !fault.Is(err, fault.NotFound) {
		t.Errorf("of somebody without: %v", err)
	}
}

// What is not exactly the answer to what was asked does not count.
func TestHostilePasskeys(t *testing.T) {
	w := newWorld(t)
	p, _ := w.passkey(ann, "laptop")
	stranger, _ := w.passkey(ben, "laptop")
	for name, try := range map[string]struct {
		change func(p *mfatest.Passkey)
		reason string
	}{
		"control":              {func(*mfatest.Passkey) {}, ""},
		"another origin":       {func(p *mfatest.Passkey) { p.Origin = "https://evil.test" }, "factor-wrong"},
		"another port":         {func(p *mfatest.Passkey) { p.Origin = "https://acme.test" }, "factor-wrong"},
		"another host":         {func(p *mfatest.Passkey) { p.RPID = "evil.test" }, "factor-wrong"},
		"nobody verified":      {func(p *mfatest.Passkey) { p.Flags = mfatest.Present }, "factor-wrong"},
		"nobody there":         {func(p *mfatest.Passkey) { p.Flags = mfatest.Verified }, "factor-wrong"},
		"now synchronised":     {func(p *mfatest.Passkey) { p.Flags |= mfatest.BackupEligible }, "factor-wrong"},
		"a copy":               {func(p *mfatest.Passkey) { p.Count = 1 }, "factor-cloned"},
		"a counter that stops": {func(p *mfatest.Passkey) { p.Count = 0 }, "factor-cloned"},
		"another person":       {func(p *mfatest.Passkey) { p.Handle = []byte("usr_ben") }, "factor-wrong"},
		"somebody else's":      {func(p *mfatest.Passkey) { *p = *stranger }, "factor-wrong"},
		"one nobody knows":     {func(p *mfatest.Passkey) { *p = *mfatest.New(t, origin, host) }, "factor-wrong"},
		"another key":          {func(p *mfatest.Passkey) { id := p.ID; *p = *mfatest.New(t, origin, host); p.ID, p.Count = id, 99 }, "factor-wrong"},
	} {
		trial := *p
		try.change(&trial)
		if _, err := w.show(ann, &trial); reasonOf(err) != try.reason {
			t.Errorf("%s: %v", name, err)
		}
		if try.reason == "" {
			p.Count = trial.Count
		}
		made := *mfatest.New(t, origin, host)
		try.change(&made)
		_, err := w.enrolPasskey(ann, &made, name)
		if name == "somebody else's" {
			if reasonOf(err) != "factor-used" {
				t.Errorf("adding %s: %v", name, err)
			}
		} else if strings.HasPrefix(name, "another o") || strings.HasPrefix(name, "another p") && name != "another person" || strings.HasPrefix(name, "another h") || strings.HasPrefix(name, "nobody") {
			if reasonOf(err) != "factor-wrong" {
				t.Errorf("adding with %s: %v", name, err)
			}
		}
	}
	asked, err := w.Ask(t.Context(), ann)
	must(t, err)
	other, err := w.Ask(t.Context(), ann)
	must(t, err)
	for name, answer := range map[string]string{"another challenge": p.Get(other.Options), "a creation": p.Create(func() []byte { o, err := w.Offer(t.Context(), ann, authn.Passkey, nil); must(t, err); return o.Options }()),
		"nothing": "", "no JSON": "{", "an empty object": "{}", "too long": `{"id":"` + strings.Repeat("A", mfa.MaxCredential) + `"}`, "deep": strings.Repeat("[", 20000)} {
		if _, err := w.Verify(t.Context(), ann, asked.Private, authn.Proof{Kind: authn.Passkey, Value: answer}); reasonOf(err) != "factor-wrong" && reasonOf(err) != "too-large" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(w.held(ben).Factors); n != 1 {
		t.Errorf("somebody else has %d", n)
	}
}

// One passkey is used once even if two answers with one count come at once.
func TestAPasskeysCountIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	p, _ := w.passkey(ann, "laptop")
	p.Stuck = true
	var wg sync.WaitGroup
	results := make(chan string, 2)
	for range cap(results) {
		asked, err := w.Ask(t.Context(), ann)
		must(t, err)
		answer := p.Get(asked.Options)
		wg.Go(func() {
			_, err := w.Verify(t.Context(), ann, asked.Private, authn.Proof{Kind: authn.Passkey, Value: answer})
			results <- reasonOf(err)
		})
	}
	wg.Wait()
	got := []string{<-results, <-results}
	if slices.Sort(got); got[0] != "" || got[1] == "" {
		t.Errorf("two at once: %q", got)
	}
}

func TestChangesOfFactors(t *testing.T) {
	w := newWorld(t)
	w.app(ann, "app")
	w.passkey(ann, "key")
	first, second := w.held(ann).Factors[0], w.held(ann).Factors[1]
	cause := audit.SystemCause()
	must(t, w.Rename(t.Context(), cause, ann, first.ID, "phone"))
	if w.held(ann).Factors[0].Name != "phone" || w.journal.all(audit.FactorRenamed)[0].Details["before"] != "app" {
		t.Error("not renamed")
	}
	for _, name := range []string{"", " ", "a\nb", strings.Repeat("x", mfa.MaxName+1), "\xff"} {
		if err := w.Rename(t.Context(), cause, ann, first.ID, name); reasonOf(err) != "bad-name" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for what, err := range map[string]error{"rename": w.Rename(t.Context(), cause, ben, first.ID, "mine"), "remove": w.Remove(t.Context(), cause, ben, first.ID, false, nil)} {
		if reasonOf(err) != "no-such-factor" {
			t.Errorf("%s somebody else's: %v", what, err)
		}
	}
	must(t, w.Remove(t.Context(), cause, ann, first.ID, true, nil))
	if err := w.Remove(t.Context(), cause, ann, second.ID, true, nil); reasonOf(err) != "last-factor" {
		t.Errorf("the last one: %v", err)
	}
	if held := w.held(ann); len(held.Factors) != 1 || held.RecoveryCodes != 10 {
		t.Errorf("left are %+v", held)
	}
	must(t, w.Remove(t.Context(), cause, ann, second.ID, false, nil))
	if held := w.held(ann); len(held.Factors) != 0 || held.RecoveryCodes != 0 {
		t.Errorf("left are %+v", held)
	}
	if removed := w.journal.all(audit.FactorRemoved); len(removed) != 2 || removed[1].Target.ID != second.ID {
		t.Errorf("recorded as %+v", removed)
	}
	for range mfa.MaxFactors {
		w.app(ben, "app")
	}
	offer, err := w.Offer(t.Context(), ben, authn.TOTP, nil)
	must(t, err)
	if _, _, err := w.Enrol(t.Context(), cause, ben, authn.Enrolment{Private: offer.Private, Name: "one more", Proof: authn.Proof{Kind: authn.TOTP, Value: w.code(offer.Key, 0)}}); reasonOf(err) != "too-many-factors" {
		t.Errorf("one more: %v", err)
	}
	n, err := w.Reset(t.Context(), cause, acme, "usr_ben")
	if held := w.held(ben); err != nil || n != mfa.MaxFactors || len(held.Factors) != 0 || held.RecoveryCodes != 0 {
		t.Errorf("reset %d, left %+v, %v", n, held, err)
	}
	if reset := w.journal.all(audit.FactorsReset); len(reset) != 1 || reset[0].Target.ID != "usr_ben" || reset[0].Details["factors"] != "10" {
		t.Errorf("recorded as %+v", reset)
	}
	if _, err := w.Reset(t.Context(), cause, acme, "usr_nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestP1_NoFactorChangesWithoutItsRecord(t *testing.T) {
	w := newWorld(t)
	w.app(ann, "app")
	f := w.held(ann).Factors[0]
	offer, err := w.Offer(t.Context(), ben, authn.TOTP, nil)
	must(t, err)
	w.journal.fail(fault.New(fault.Unavailable, "journal-unavailable", "Not now."))
	cause := audit.SystemCause()
	_, _, enrol := w.Enrol(t.Context(), cause, ben, authn.Enrolment{Private: offer.Private, Name: "x", Proof: authn.Proof{Kind: authn.TOTP, Value: w.code(offer.Key, 0)}})
	_, codes := w.RenewCodes(t.Context(), cause, ann)
	_, reset := w.Reset(t.Context(), cause, acme, ann.User)
	for what, err := range map[string]error{"enrol": enrol, "codes": codes, "reset": reset,
		"rename": w.Rename(t.Context(), cause, ann, f.ID, "y"), "remove": w.Remove(t.Context(), cause, ann, f.ID, false, nil)} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if held := w.held(ann); len(held.Factors) != 1 || held.Factors[0].Name != "app" || held.RecoveryCodes != 10 || len(w.held(ben).Factors) != 0 {
		t.Errorf("it is %+v now", held)
	}
}

func TestP3_FactorsStayInTheirTenant(t *testing.T) {
	w := newWorld(t)
	key, codes := w.app(ann, "app")
	p, _ := w.passkey(ann, "key")
	asked, err := w.Ask(t.Context(), ann)
	must(t, err)
	there := holder(globex, "usr_ann")
	if held := w.held(there); len(held.Factors) != 0 || held.RecoveryCodes != 0 {
		t.Errorf("held there: %+v", held)
	}
	for kind, value := range map[authn.FactorKind]string{authn.TOTP: w.code(key, 0), authn.RecoveryCode: codes[0], authn.Passkey: p.Get(asked.Options)} {
		if _, err := w.Verify(t.Context(), there, asked.Private, authn.Proof{Kind: kind, Value: value}); reasonOf(err) != "factor-wrong" {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := w.Reset(t.Context(), audit.SystemCause(), globex, "usr_ann"); err != nil || len(w.held(ann).Factors) != 2 {
		t.Errorf("reset there: %v", err)
	}
}

// At rest there is no key of an app, no recovery code and no credential to read.
func TestP6_FactorsAreSealed(t *testing.T) {
	w := newWorld(t)
	key, codes := w.app(ann, "app")
	p, _ := w.passkey(ann, "key")
	var all [][]byte
	must(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		for _, query := range []string{`SELECT secret FROM factors`, `SELECT credential_hash FROM factors WHERE credential_hash IS NOT NULL`, `SELECT code_hash FROM recovery_codes`} {
			rows, err := store.All(t.Context(), tx, store.Scalar[[]byte], query)
			if err != nil {
				return err
			}
			all = append(all, rows...)
		}
		return nil
	}))
	if len(all) != 13 {
		t.Fatalf("%d values", len(all))
	}
	for _, kept := range all {
		for _, secret := range append(slices.Clone(codes), key, string(p.ID)) {
			if bytes.Contains(kept, []byte(secret)) {
				t.Errorf("%q is to be read at rest", secret)
			}
		}
	}
	w.exec(acme, `DELETE FROM users WHERE id = 'usr_ann'`)
	if held := w.held(ann); len(held.Factors) != 0 || held.RecoveryCodes != 0 {
		t.Errorf("somebody deleted has %+v", held)
	}
}
