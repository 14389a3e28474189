package gateway

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// Hashing costs little in these tests, in which it is done often.
func init() { passwordCost = local.Cost{Memory: 64, Passes: 1, Threads: 1} }

// guest is a browser behind a proxy that says whence it comes.
type guest struct {
	*http.Client
	t  *testing.T
	at *house
	ip string
}

func (h *house) guest(ip string) *guest {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	must(h.t, err)
	c := &guest{t: h.t, at: h, ip: ip}
	transport := &http.Transport{MaxIdleConnsPerHost: 2, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		conn, err := c.at.dial(nil)
		if err != nil {
			return nil, err
		}
		return conn, conn.SetDeadline(time.Now().Add(patience))
	}}
	h.t.Cleanup(transport.CloseIdleConnections)
	c.Client = &http.Client{Jar: jar, Transport: proxied{transport, c}}
	return c
}

type proxied struct {
	next *http.Transport
	c    *guest
}

func (p proxied) CloseIdleConnections() { p.next.CloseIdleConnections() }

func (p proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", p.c.ip)
	r.Header.Set("Accept", "text/html")
	return p.next.RoundTrip(r)
}

func (c *guest) get(path string) (int, string) {
	c.t.Helper()
	return c.read(c.Get("https://acme.test" + path))
}

func (c *guest) post(path string, form url.Values) (int, string) {
	c.t.Helper()
	return c.read(c.PostForm("https://acme.test"+path, form))
}

func (c *guest) read(resp *http.Response, err error) (int, string) {
	c.t.Helper()
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode, string(body)
}

var (
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
	askedOfKey  = regexp.MustCompile(`data-options="([^"]*)"`)
	appKey      = regexp.MustCompile(`<p><code>([A-Z2-7]{32})</code></p>`)
)

// form is the form of a page in which a text stands.
func form(t *testing.T, page, with string) url.Values {
	t.Helper()
	for _, one := range strings.Split(page, "<form")[1:] {
		if strings.Contains(one, with) {
			values := url.Values{}
			for _, field := range hiddenField.FindAllStringSubmatch(one, -1) {
				values.Set(field[1], strings.ReplaceAll(field[2], "&#43;", "+"))
			}
			return values
		}
	}
	t.Fatalf("no form with %q on the page:\n%s", with, page)
	return nil
}

// begins opens the page on which local accounts sign in, with what its forms keep.
func (c *guest) begins() string {
	c.t.Helper()
	var status int
	var page string
	c.at.soon("the page", func() bool {
		status, page = c.get("/.gatehouse/login?connection=local")
		return status != http.StatusServiceUnavailable // as a machine with much else to do answers
	})
	if status != http.StatusOK || !strings.Contains(page, "Sign in with a local account") {
		c.t.Errorf("%d %s", status, page)
	}
	return page
}

const sentence = "several words of mine"

// invited has somebody set up a local account, and gives how they sign in.
func (s *street) invited(acme *tenants.Tenant, email string, passkey bool) (in func(c *guest) string) {
	s.Helper()
	user, err := s.a.rooms.directory.CreateUser(s.Context(), cause, acme.ID, directory.User{UserName: email, Email: email, Active: true, Source: directory.SourceAdmin})
	must(s.T, err)
	_, err = s.a.rooms.authz.Assign(s.Context(), cause, acme.ID, authz.Assignment{Role: authz.Owner, User: user.ID})
	must(s.T, err)
	made, err := s.a.rooms.accounts.Invite(s.Context(), audit.Cause{Actor: audit.Actor{Kind: identity.KindOperator, ID: "local"}}, acme.ID, user.ID, 0)
	must(s.T, err)
	c := s.b.guest("192.0.2.200") // the link was made by the other node
	_, page := c.get(local.InvitationURL(made.Token))
	if passkey {
		_, page = c.post(local.PathInvitation, form(s.T, page, `value="passkey"`))
		k := mfatest.New(s.T, "https://acme.test", "acme.test")
		accept := form(s.T, page, `value="accept"`)
		accept.Set("credential", k.Create(asked(s.T, page)))
		if status, page := c.post(local.PathInvitation, accept); status != http.StatusOK {
			s.Fatalf("%d %s", status, page)
		}
		return func(c *guest) string {
			page := c.begins()
			answer := form(s.T, page, `value="passkey"`)
			answer.Set("credential", k.Get(asked(s.T, page)))
			_, page = c.post(authn.PathLocal, answer)
			return page
		}
	}
	_, page = c.post(local.PathInvitation, form(s.T, page, `value="totp"`))
	key := appKey.FindStringSubmatch(page)[1]
	const period = 30 * time.Second
	var next time.Time
	code := func() string { // one that was not used yet, of this or the next period: that of the last may come too late
		if !next.IsZero() {
			<-time.After(time.Until(next) - period)
		}
		at := time.Now()
		if at.Before(next) {
			at = next
		}
		next = at.Add(period)
		text, err := totp.GenerateCode(key, at)
		must(s.T, err)
		return text
	}
	accept := form(s.T, page, `value="accept"`)
	accept.Set("password", sentence)
	accept.Set("code", code())
	if status, page := c.post(local.PathInvitation, accept); status != http.StatusOK {
		s.Fatalf("%d %s", status, page)
	}
	return func(c *guest) string {
		enter := form(s.T, c.begins(), `value="password"`)
		enter.Set("address", email)
		enter.Set("password", sentence)
		status, page := c.post(authn.PathLocal, enter)
		for range 2 { // more tries than these a network has not, while there is a flood
			if status == http.StatusServiceUnavailable {
				status, page = c.post(authn.PathLocal, enter)
			}
		}
		if !strings.Contains(page, "Enter your code") {
			return page
		}
		show := form(s.T, page, `value="totp"`)
		show.Set("code", code())
		_, page = c.post(authn.PathLocal, show)
		return page
	}
}

func asked(t *testing.T, page string) []byte {
	t.Helper()
	return []byte(strings.NewReplacer("&#34;", `"`, "&#43;", "+", "&amp;", "&").Replace(askedOfKey.FindStringSubmatch(page)[1]))
}

// stuffed is what a run against many accounts came to.
type stuffed struct {
	mu                           sync.Mutex
	perAddress, perAccount       map[string]int // passwords that were looked at
	looked, refused, busy, other int
}

// Credential stuffing from a thousand addresses against ten thousand accounts, at two
// nodes with one Redis: few passwords are looked at, per account, address and tenant,
// nobody gets in, and the gate does not grow; and who has an account there gets in all
// the while, by the browser that they know, by passkey, and by a browser that nobody
// has seen, from a network of their own.
func TestCredentialStuffingIsHeldDown(t *testing.T) {
	const addresses, accounts, tries = 1000, 10_000, 10
	s := newStreet(t, map[string]string{"listen.trusted_proxies": `["127.0.0.1/32"]`, "app.routes": "[ { path: /**, access: signed_in } ]"})
	acme, err := s.a.Services().Tenants.Create(s.Context(), cause, tenants.Tenant{Name: "acme", DisplayName: "Acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	ann, kim, ben := s.invited(acme, "ann@acme.test", false), s.invited(acme, "kim@acme.test", true), s.invited(acme, "ben@acme.test", false)
	s.accounts(acme.ID, accounts)
	home := s.a.guest("192.0.2.1")
	in := func(what, page, app string) {
		t.Helper()
		if !strings.HasPrefix(page, app) {
			t.Errorf("%s: %s", what, page)
		}
	}
	in("before", ann(home), "first")
	began, before := time.Now(), runtime.NumGoroutine()

	var run stuffed
	run.perAddress, run.perAccount = map[string]int{}, map[string]int{}
	guesses := rand.Perm(accounts)
	next := make(chan int)
	var attackers sync.WaitGroup
	for range 16 {
		attackers.Go(func() {
			for i := range next {
				s.stuff(&run, i, guesses[i*tries:(i+1)*tries])
			}
		})
	}
	most := 0
	for i := range addresses {
		next <- i
		most = max(most, runtime.NumGoroutine())
		if i == addresses/2 {
			// In the middle of it, from the network of an attacker, too.
			home.ip = "10.1.0.1"
			home.post("/.gatehouse/logout", nil)
			in("on the known browser, meanwhile", ann(home), "first")
			in("by passkey, meanwhile", kim(s.b.guest("10.1.0.2")), "first")
			in("by password in a new browser, meanwhile", ben(s.a.guest("203.0.113.9")), "first")
		}
	}
	close(next)
	attackers.Wait()
	home.at = s.b // which has never seen that browser
	home.CloseIdleConnections()
	in("by passkey, after it", kim(s.a.guest("10.1.0.3")), "first")
	in("by password in another new browser, after it", ben(s.b.guest("203.0.113.10")), "first")

	took := time.Since(began)
	nodes := 1
	for _, h := range []*house{s.a, s.b} {
		if h.says("this node limits for itself")() {
			nodes = 2 // Redis was too slow to be asked: each has counted alone for a while
		}
	}
	t.Logf("%d of %d passwords were looked at in %v, %d were refused as too many, %d as busy; goroutines: %d, at most %d", run.looked, accounts, took, run.refused, run.busy, before, most)
	if run.other > 0 {
		t.Errorf("%d answers were neither", run.other)
	}
	// 100 at once and one each 3 seconds, and 3 of each address at that; 10 of one
	// address and one each 30 seconds.
	if bound := nodes * (100 + int(took/(3*time.Second)) + 1 + addresses*(3+int(took/time.Hour))); run.looked > bound || run.looked < 50 {
		t.Errorf("%d passwords were looked at, of at most %d", run.looked, bound)
	}
	for address, n := range run.perAddress {
		if n > nodes*(10+int(took/(30*time.Second))+1) {
			t.Errorf("%s had %d passwords looked at", address, n)
		}
	}
	for account, n := range run.perAccount {
		if account == "ben@acme.test" {
			if n > nodes*(10+int(took/(5*time.Minute))+3*addresses) || n <= 10 {
				t.Errorf("%s had %d passwords looked at", account, n)
			}
		} else if n > nodes*10 {
			t.Errorf("%s had %d passwords looked at", account, n)
		}
	}
	if most > before+500 {
		t.Errorf("%d goroutines, of %d before", most, before)
	}
}

// stuff tries passwords from one address, at either node, the first of them for
// somebody whom all are after.
func (s *street) stuff(run *stuffed, i int, accounts []int) {
	h := s.a
	if i%2 == 1 {
		h = s.b
	}
	c := h.guest(fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
	defer c.CloseIdleConnections()
	enter := form(s.T, c.begins(), `value="password"`)
	for try, n := range accounts {
		account := "p" + strconv.Itoa(n) + "@acme.test"
		if try == 0 {
			account = "ben@acme.test"
		}
		enter.Set("address", account)
		enter.Set("password", "one that leaked elsewhere")
		status, page := c.post(authn.PathLocal, enter)
		run.mu.Lock()
		switch {
		case status == http.StatusForbidden && strings.Contains(page, "That did not work"):
			run.looked++
			run.perAddress[c.ip]++
			run.perAccount[account]++
		case status == http.StatusTooManyRequests:
			run.refused++
		case status == http.StatusServiceUnavailable:
			run.busy++
		default:
			run.other++
			s.Logf("%d %s", status, page)
		}
		run.mu.Unlock()
	}
}

// accounts makes many people with local accounts, each with a password.
func (s *street) accounts(tenant identity.TenantID, n int) {
	s.Helper()
	must(s.T, s.a.rooms.store.Tenant(tenant).Write(s.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(s.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
			SELECT 'usr_p' || i, 'p' || i || '@acme.test', 'p' || i || '@acme.test', '', 'p' || i || '@acme.test', '', '', TRUE, 'admin', '{}', 1, 0, 0 FROM generate_series(0, $1::bigint - 1) i`, n)
		if err != nil {
			return err
		}
		for i := range n {
			user := "usr_p" + strconv.Itoa(i)
			sealed, err := s.a.rooms.keys.Seal(s.Context(), tenant, "authn.local-password."+user, []byte("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(s.Context(), `INSERT INTO local_accounts (user_id, password, generation, accepted_at) VALUES ($1, $2, 1, 1)`, user, sealed); err != nil {
				return err
			}
		}
		return nil
	}))
}
