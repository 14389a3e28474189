package local_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/directory"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/throttle"
	"gatehouse/sessions"
)

// What is wrong of an address and a password is for the journal alone: the page is the
// same, byte for byte, and the same work is done, whoever is asked for.
func TestNobodyLearnsWhoHasALocalAccount(t *testing.T) {
	w := newWorld(t)
	w.owner("ann@acme.test")
	keyed := w.person(w.acme, "kim@acme.test")
	w.browser().choosesPasskey(w.invites(w.acme, keyed))
	w.person(w.acme, "member@acme.test")
	w.invites(w.acme, w.person(w.acme, "invited@acme.test"))
	left, _ := w.owner("left@acme.test")
	_, err := w.directory.UpdateUser(t.Context(), operator, w.acme.ID, left, 0, func(u *directory.User) error { u.Active = false; return nil })
	must(t, err)
	varying := regexp.MustCompile(`name="(kept|state)" value="[^"]*"|data-options="[^"]*"|<dl>(?s:.*)</dl>`)
	var first page
	for i, c := range []struct{ address, password, reason string }{
		{"ann@acme.test", "something else entirely", "password-wrong"},
		{"kim@acme.test", secret, "password-missing"},
		{"member@acme.test", secret, "account-unknown"},
		{"invited@acme.test", secret, "account-unknown"},
		{"left@acme.test", secret, "person-inactive"},
		{"left@acme.test", "something else entirely", "password-wrong"},
		{"nobody@acme.test", secret, "account-unknown"},
		{"no address", secret, "account-unknown"},
		{"", "", "account-unknown"},
		{strings.Repeat("a", 400) + "@acme.test", secret, "account-unknown"},
		{"ann@acme.test\x00", "\xff", "account-unknown"},
		{"ann@acme.test", "\xff", "password-wrong"},
		{"ann@acme.test", strings.Repeat("x", 2000), "password-wrong"},
	} {
		before := w.Hashes()
		p := w.browser().from("198.51.100."+strconv.Itoa(i)).enters(c.address, c.password)
		if n := w.Hashes() - before; n != 1 {
			t.Errorf("%q: %d hashes were computed", c.address, n)
		}
		if reason := w.journal.last(t, audit.SignInRefused); reason != c.reason {
			t.Errorf("%q: recorded %s, not %s", c.address, reason, c.reason)
		}
		p.body = varying.ReplaceAllString(p.body, "")
		if first.body == "" {
			first = p.has(http.StatusForbidden, "That did not work")
		}
		if p.status != first.status || p.body != first.body || len(p.header) != len(first.header) {
			t.Errorf("%q: %d %v\n%s\nnot %d %v\n%s", c.address, p.status, p.header, p.body, first.status, first.header, first.body)
		}
	}
}

// Strangers' guesses use up what strangers have: whoever comes by a browser that they
// have signed in with before, or with a passkey, is held up by none of them.
func TestNoStrangerKeepsAPersonOut(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	kim := w.person(w.acme, "kim@acme.test")
	k := w.browser().choosesPasskey(w.invites(w.acme, kim))
	home := w.browser().from("192.0.2.1")
	home.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	w.advance(30 * time.Second)

	guess := func(ip, address string) page {
		t.Helper()
		return w.browser().from(ip).enters(address, "a guess of somebody's")
	}
	began := time.Now()
	// refused tries until it is: time, on a slow machine, gives tries back.
	refused := func(limit throttle.Limit, try func() page) {
		t.Helper()
		p := try()
		for back := 0; p.status != http.StatusTooManyRequests && back <= int(time.Since(began)/limit.Every); back++ {
			p = try()
		}
		p.has(http.StatusTooManyRequests, "Too many passwords were tried")
		if seconds, err := strconv.Atoi(p.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 3600 {
			t.Errorf("Retry-After %q", p.header.Get("Retry-After"))
		}
		if reason := w.journal.last(t, audit.SignInRefused); reason != "too-many-passwords" {
			t.Errorf("recorded %s", reason)
		}
	}
	before := w.Hashes()
	for i := range local.PerAccount.Burst - 1 { // one was the person's own first sign-in
		guess("198.51.100."+strconv.Itoa(i), "ann@acme.test").has(http.StatusForbidden, "That did not work")
	}
	// From then on each network has a few of its own, however the address is written.
	few := func(ip string, addresses ...string) {
		t.Helper()
		for i := range local.PerSite.Burst {
			guess(ip, addresses[i%len(addresses)]).has(http.StatusForbidden, "That did not work")
		}
		refused(local.PerAccount, func() page { return guess(ip, addresses[0]) })
	}
	few("198.51.100.100", "ann@acme.test", "Ann@acme.test")
	few("198.51.100.1", "ann@acme.test")
	least := local.PerAccount.Burst - 1 + 2*local.PerSite.Burst
	if n, most := w.Hashes()-before, least+int(time.Since(began)/local.PerAccount.Every); n < int64(least) || n > int64(most) {
		t.Errorf("%d passwords were looked at", n)
	}
	// Who is not there is held up the same.
	for i := range local.PerAccount.Burst {
		guess("198.51.101."+strconv.Itoa(i), "nobody@acme.test").has(http.StatusForbidden)
	}
	few("198.51.101.100", "nobody@acme.test")
	// So whoever is there gets in, by a browser that nobody knows.
	elsewhere := func(ip string) {
		t.Helper()
		w.browser().from(ip).signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x for ann@acme.test")
	}
	elsewhere("203.0.113.101")

	again := func() {
		t.Helper()
		out := w.browser().from("192.0.2.1")
		out.Jar = home.Jar
		out.post("/.gatehouse/logout", nil)
		out.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x for ann@acme.test")
		w.browser().from("198.51.100.1").shows(k).has(http.StatusOK, "app /x for kim@acme.test")
	}
	again()
	// Their own network, and the whole tenant.
	for i := range local.PerNetwork.Burst - 1 { // as above
		guess("192.0.2.1", "n"+strconv.Itoa(i)+"@acme.test").has(http.StatusForbidden)
	}
	refused(local.PerNetwork, func() page { return guess("192.0.2.1", "m@acme.test") })
	again()
	for i := range local.PerTenant.Burst {
		guess("10.0."+strconv.Itoa(i/200)+"."+strconv.Itoa(i%200), "t"+strconv.Itoa(i)+"@acme.test")
	}
	for i := range local.PerNetwork.Burst {
		if guess("10.9.9.9", "z"+strconv.Itoa(i)+"@acme.test").status == http.StatusTooManyRequests {
			break
		}
	}
	refused(local.PerTenant, func() page { return guess("10.9.9.9", "z@acme.test") })
	elsewhere("203.0.113.102")
	again()

	// That browser has a count of its own, which is theirs alone.
	mine := w.browser().from("192.0.2.1")
	mine.Jar = home.Jar
	mine.post("/.gatehouse/logout", nil)
	for range local.PerBrowser.Burst {
		if mine.enters("ann@acme.test", "not it, not it, not it").status == http.StatusTooManyRequests {
			break
		}
	}
	refused(local.PerBrowser, func() page { return mine.enters("ann@acme.test", secret) })
	refused(local.PerNetwork, func() page { return mine.enters("kim@acme.test", secret) }) // nor does it know anybody else

	// A browser that an admin has blocked is a stranger's.
	devices, _, err := w.sessions.Devices(t.Context(), w.acme.ID, sessions.DeviceFilter{User: ann})
	must(t, err)
	for _, d := range devices {
		_, err = w.sessions.UpdateDevice(t.Context(), operator, w.acme.ID, d.ID, func(d *sessions.Device) error { d.Blocked = true; return nil })
		must(t, err)
	}
	if known, err := w.sessions.Knows(t.Context(), w.acme.ID, home.cookie(httpkit.DeviceCookie), ann); err != nil || known {
		t.Errorf("known: %v, %v", known, err)
	}
}

func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.w.url)
	must(b.t, err)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Whatever the network, so many passkeys are verified for it and no more.
func TestPasskeysAreCounted(t *testing.T) {
	w := newWorld(t)
	k := w.browser().choosesPasskey(w.invites(w.acme, w.person(w.acme, "kim@acme.test")))
	b := w.browser().from("198.51.100.7")
	answer := with(b.begins().hidden("do", "passkey"), "credential", "{}")
	p := b.post(authn.PathLocal, answer)
	for began, tried := time.Now(), 1; p.status != http.StatusTooManyRequests; tried++ {
		p.has(http.StatusForbidden, "That did not work")
		if most := local.PasskeysPerNetwork.Burst + int(time.Since(began)/local.PasskeysPerNetwork.Every) + 1; tried > most {
			t.Fatalf("%d were looked at, of at most %d", tried, most)
		}
		p = b.post(authn.PathLocal, answer)
	}
	p.has(http.StatusTooManyRequests, "Too many passkeys were tried from your network")
	if reason := w.journal.last(t, audit.SignInRefused); reason != "too-many-passkeys" || p.header.Get("Retry-After") == "" {
		t.Errorf("recorded %s, Retry-After %q", reason, p.header.Get("Retry-After"))
	}
	w.browser().from("198.51.100.8").shows(k).has(http.StatusOK, "app /x for kim@acme.test")
}

// However many addresses somebody has, their guesses at one account and at one tenant
// come to so many and no more.
func TestManyAddressesAreNotManyGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits, looked, next := local.NewLimits(), 0, netip.MustParseAddr("10.0.0.1")
		try := func(tries, of int) {
			ip := next
			for range of {
				for range tries {
					if limits.Stranger(ip, "ann@acme.test") == nil {
						looked++
					}
				}
				ip = ip.Next()
			}
		}
		want := func(n int) {
			t.Helper()
			if looked != n {
				t.Errorf("%d passwords are looked at, want %d", looked, n)
			}
			looked = 0
		}
		// What there is for the address is taken by two sites, and then each has its own.
		try(5, 1000)
		want(local.PerAccount.Burst + 998*local.PerSite.Burst)
		if err := limits.Stranger(netip.MustParseAddr("192.0.2.1"), "ann@acme.test"); err != nil {
			t.Errorf("a person from elsewhere: %v", err)
		}
		for range 2 {
			time.Sleep(time.Hour)
			try(5, 1000)
			want(local.PerAccount.Burst + 998)
		}
		for i := range 4 { // a site of IPv6 is one, whatever its networks
			if err := limits.Stranger(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, byte(i)}), "ann@acme.test"); (err == nil) != (i < local.PerSite.Burst) {
				t.Errorf("the %d. network of a site: %v", i+1, err)
			}
		}
		time.Sleep(4 * time.Hour)
		next = netip.MustParseAddr("10.1.0.1")
		looked = 0
		try(3, 5000) // many more than there is for all
		want(local.PerAccount.Burst + local.PerCrowd.Burst)
	})
}

// Who has got hold of the password alone holds up no browser in which its person has
// signed in.
func TestWrongCodesOfOthersSlowNobodyDown(t *testing.T) {
	w := newWorld(t)
	_, key := w.owner("ann@acme.test")
	home := w.browser()
	home.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	for _, kind := range []string{"totp", "recovery-code"} {
		thief := w.browser().from("198.51.100.7")
		p := thief.enters("ann@acme.test", secret)
		for range 5 {
			p = thief.post(authn.PathLocal, with(p.hidden("kind", kind), "code", "000000")).has(http.StatusForbidden)
		}
		thief.post(authn.PathLocal, with(p.hidden("kind", kind), "code", w.code(key, 0))).has(http.StatusTooManyRequests, "Too many wrong codes")
	}
	again := func() page {
		out := w.browser()
		out.Jar = home.Jar
		out.post("/.gatehouse/logout", nil)
		return out.enters("ann@acme.test", secret).has(http.StatusOK, "Enter your code")
	}
	p := again()
	home.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", w.code(key, 0))).has(http.StatusOK, "app /x")
	w.advance(30 * time.Second)
	// Their own wrong ones count there.
	p = again()
	for range 5 {
		p = home.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", "000000")).has(http.StatusForbidden)
	}
	home.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", w.code(key, 0))).has(http.StatusTooManyRequests, "Too many wrong codes")
}

// Wrong codes slow down whoever knows the password, and nobody else.
func TestWrongCodesWithARightPassword(t *testing.T) {
	w := newWorld(t)
	_, key := w.owner("ann@acme.test")
	b := w.browser()
	p := b.enters("ann@acme.test", secret)
	for range 5 {
		p = b.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", "000000")).has(http.StatusForbidden, "Wait for the next code")
	}
	p = b.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", w.code(key, 0))).has(http.StatusTooManyRequests, "Too many wrong codes")
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.post(authn.PathLocal, with(p.hidden("kind", "totp"), "kind", "passkey")).has(http.StatusForbidden, "goes a code")
	w.advance(31 * time.Second)
	b.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", w.code(key, 0))).has(http.StatusOK, "app /x")
}
