package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/internal/httpkit"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// A token of the authorization server makes a program who it is, with its role and
// no other; the app is told who calls, and never sees the token (P6).
func TestP6_AServiceCallsByItsToken(t *testing.T) {
	p := newPlant(t)
	billing := p.hire("billing", "viewer", p.signed("billing"))
	raw := p.as.token("billing")
	for _, h2 := range []bool{false, true} {
		c := p.client(h2, nil)
		for range 2 { // verified, and remembered
			got := c.bear("/", raw)
			if got.Status != http.StatusOK || got.User != string(billing.ID) || got.Name != "billing" || got.Roles != "viewer" || got.Authorization != "" {
				t.Fatalf("%+v", got)
			}
		}
	}
	c := p.client(false, nil)
	if got := c.bear("/alerts", raw); got.Status != http.StatusForbidden || got.Problem != "not-allowed" {
		t.Errorf("beyond its role: %+v", got)
	}
	if got := c.get("/public/x", "Authorization", "bearer   "+raw+" "); got.Status != http.StatusOK || got.User != string(billing.ID) || got.Authorization != "" {
		t.Errorf("public: %+v", got)
	}
	for e, err := range p.rooms.journal.Read(context.Background(), p.acme.ID, 0) {
		p.must(err)
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, raw) || strings.Contains(text, raw[:40]) {
			t.Fatal("the journal holds the token")
		}
		if e.Type == audit.AccessAllowed && (e.Actor.ID != string(billing.ID) || e.Actor.Kind != "service") {
			t.Errorf("recorded as %+v", e.Actor)
		}
	}
	if got := p.client(false, nil).bear("/.gatehouse/api/v1/me", raw); got.Status != http.StatusOK || !strings.Contains(got.Body, `"kind":"service"`) {
		t.Errorf("the API says %+v", got)
	}
	// A token that does not say what it is for counts only where that is allowed.
	untyped := p.as.sign(p.as.claims("billing"), func(h map[string]any) { h["typ"] = "JWT" })
	if got := c.bear("/", untyped); got.Status != http.StatusUnauthorized {
		t.Errorf("typ JWT: %+v", got)
	}
	p.hire("billing", "viewer", p.signed("billing", machines.TypeJWT))
	for _, typ := range []any{"JWT", nil} {
		raw := p.as.sign(p.as.claims("billing"), func(h map[string]any) {
			if h["typ"] = typ; typ == nil {
				delete(h, "typ")
			}
		})
		if got := c.bear("/", raw); got.Status != http.StatusOK {
			t.Errorf("typ %v where it is allowed: %+v", typ, got)
		}
	}
}

// hostileTokens are tokens that are not good, each with the reason in the journal.
// Those by whose issuer nobody is recognised may be the app's own.
func hostileTokens(t *testing.T, p *plant, stranger *authServer, idToken string) map[string][2]string {
	as := p.as
	with := func(change func(jwt.MapClaims)) string {
		c := as.claims("billing")
		change(c)
		return as.sign(c, nil)
	}
	set := func(name string, value any) string { return with(func(c jwt.MapClaims) { c[name] = value }) }
	without := func(name string) string { return with(func(c jwt.MapClaims) { delete(c, name) }) }
	head := func(name string, value any) string {
		return as.sign(as.claims("billing"), func(h map[string]any) { h[name] = value })
	}
	public, err := x509.MarshalPKIXPublicKey(&as.key.PublicKey)
	p.must(err)
	b64 := base64.RawURLEncoding.EncodeToString
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, as.claims("billing")).SignedString(jwt.UnsafeAllowNoneSignatureType)
	p.must(err)
	confused := jwt.NewWithClaims(jwt.SigningMethodHS256, as.claims("billing"))
	confused.Header["typ"], confused.Header["kid"] = "at+jwt", "k1"
	hs256, err := confused.SignedString(public)
	p.must(err)
	good := as.token("billing")
	parts := strings.Split(good, ".")
	payload, err := json.Marshal(as.claims("billing"))
	p.must(err)
	twice := strings.Replace(string(payload), `{`, `{"iss":"`+as.URL+`","client_id":"other",`, 1)
	now := time.Now()
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.must(err)
	foreignKey := &authServer{Server: as.Server, key: foreign}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	header := `{"alg":"ES256","typ":"at+jwt","kid":"k1"}`
	_, api, err := p.Services().Tokens.Create(t.Context(), audit.SystemCause(), p.acme.ID, token.Spec{Name: "s", Scope: token.ScopeSCIM, Expires: now.Add(time.Hour)})
	p.must(err)
	changed := []byte(parts[2])
	changed[0] ^= 1
	return map[string][2]string{
		"alg none":                      {none, "wrong-algorithm"},
		"alg none in capitals":          {b64([]byte(`{"alg":"NONE","typ":"at+jwt"}`)) + "." + parts[1] + ".", "wrong-algorithm"},
		"no alg":                        {as.signRaw(`{"typ":"at+jwt","kid":"k1"}`, string(payload)), "wrong-algorithm"},
		"alg a number":                  {as.signRaw(`{"alg":256,"typ":"at+jwt"}`, string(payload)), "wrong-algorithm"},
		"HS256 with the public key":     {hs256, "wrong-algorithm"},
		"another issuer":                {set("iss", "https://elsewhere.example"), "wrong-issuer"},
		"issuer with a slash":           {set("iss", as.URL+"/"), "wrong-issuer"},
		"no issuer":                     {without("iss"), "wrong-issuer"},
		"issuer a list":                 {set("iss", []string{as.URL}), "wrong-issuer"},
		"a stranger's own":              {stranger.token("billing"), "wrong-issuer"},
		"another audience":              {set("aud", "other-app"), "wrong-audience"},
		"no audience":                   {without("aud"), "wrong-audience"},
		"audience in part":              {set("aud", "app2"), "wrong-audience"},
		"audience an object":            {set("aud", map[string]string{"app": "app"}), "wrong-audience"},
		"audience a list of numbers":    {set("aud", []any{"app", 1}), "wrong-audience"},
		"another client":                {set("client_id", "somebody"), "unknown-client"},
		"no client":                     {without("client_id"), "unknown-client"},
		"two clients":                   {set("azp", "somebody"), "unknown-client"},
		"client a list":                 {set("client_id", []string{"billing"}), "unknown-client"},
		"expired":                       {set("exp", now.Add(-time.Second).Unix()), "expired"},
		"expired long ago":              {set("exp", 1), "expired"},
		"no expiry":                     {without("exp"), "malformed"},
		"expiry a text":                 {set("exp", "9999999999"), "malformed"},
		"expiry without end":            {as.signRaw(header, strings.Replace(string(payload), `"exp":`, `"exp":1e400,"x":`, 1)), "malformed"},
		"negative expiry":               {set("exp", -5), "malformed"},
		"not before the future":         {set("nbf", now.Add(time.Hour).Unix()), "not-yet-valid"},
		"issued in the future":          {set("iat", now.Add(time.Hour).Unix()), "not-yet-valid"},
		"issued by a text":              {set("iat", "now"), "malformed"},
		"typ of a logout token":         {head("typ", "logout+jwt"), "wrong-type"},
		"typ of a security event":       {head("typ", "secevent+jwt"), "wrong-type"},
		"typ of an id token":            {head("typ", "JWT"), "wrong-type"},
		"typ of proof of possession":    {head("typ", "dpop+jwt"), "wrong-type"},
		"typ a number":                  {head("typ", 1), "wrong-type"},
		"an id token":                   {idToken, "wrong-type"},
		"nonce":                         {set("nonce", "n"), "wrong-type"},
		"at_hash":                       {set("at_hash", "h"), "wrong-type"},
		"events of a logout token":      {set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}), "wrong-type"},
		"called an id token":            {set("token_use", "id"), "wrong-type"},
		"called a refresh token":        {set("typ", "Refresh"), "wrong-type"},
		"crit":                          {head("crit", []string{"exp"}), "malformed"},
		"b64":                           {head("b64", false), "malformed"},
		"jku":                           {head("jku", stranger.URL+"/jwks"), "wrong-key"},
		"x5u":                           {head("x5u", stranger.URL+"/x"), "wrong-key"},
		"jwk":                           {head("jwk", map[string]string{"kty": "EC"}), "wrong-key"},
		"x5c":                           {head("x5c", []string{"MII"}), "wrong-key"},
		"kid without end":               {head("kid", strings.Repeat("k", 300)), "malformed"},
		"kid a number":                  {head("kid", 1), "malformed"},
		"signed with another key":       {foreignKey.token("billing"), "wrong-key"},
		"signature changed":             {parts[0] + "." + parts[1] + "." + string(changed), "wrong-key"},
		"no signature":                  {parts[0] + "." + parts[1] + ".", "wrong-key"},
		"a claim changed":               {parts[0] + "." + b64([]byte(strings.Replace(string(payload), "subject-of", "subject-off", 1))) + "." + parts[2], "wrong-key"},
		"claims twice":                  {as.signRaw(header, twice), "malformed"},
		"header twice":                  {as.signRaw(`{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"k1"}`, string(payload)), "malformed"},
		"nested deeply":                 {as.signRaw(header, strings.Replace(string(payload), `{`, `{"x":`+deep+`,`, 1)), "too-deep"},
		"claims that go on":             {as.signRaw(header, string(payload)+"{}"), "malformed"},
		"claims that are none":          {as.signRaw(header, `["app"]`), "malformed"},
		"a JWT in a JWT":                {as.signRaw(`{"alg":"ES256","typ":"at+jwt","cty":"JWT"}`, good), "malformed"},
		"huge":                          {set("x", strings.Repeat("x", 20<<10)), "too-large"},
		"bound to another certificate":  {set("cnf", map[string]string{"x5t#S256": b64(make([]byte, 31)) + "A"}), "wrong-binding"},
		"bound to a key":                {set("cnf", map[string]string{"jkt": "abc"}), "wrong-binding"},
		"bound to nothing":              {set("cnf", "x"), "wrong-binding"},
		"encrypted":                     {parts[0] + "." + parts[1] + "." + parts[2] + ".AAAA.BBBB", "wrong-issuer"},
		"two parts":                     {parts[0] + "." + parts[1], "wrong-issuer"},
		"garbage":                       {"abc", "wrong-issuer"},
		"padding":                       {parts[0] + "=." + parts[1] + "." + parts[2], "wrong-issuer"},
		"value of a session's cookie":   {strings.Repeat("A", 43), "wrong-issuer"},
		"another tenant's SCIM token":   {api, "scim-only"},
		"one of ours that there is not": {"gh_" + strings.Repeat("A", 43), "invalid-token"},
	}
}

func TestHostileTokens(t *testing.T) {
	p := newPlant(t)
	p.hire("billing", "owner", p.signed("billing"))
	stranger := newAuthServer(t)
	p.hireAt(p.globex.ID, machines.Machine{Name: "billing", Role: "owner", Enabled: true, Credentials: []machines.Credential{
		{JWT: &machines.JWT{Issuer: stranger.URL, Claims: machines.Claims{Audience: "app", ClientID: "billing"}}}}})
	p.as.publish(map[string]*ecdsa.PublicKey{"k1": &p.as.key.PublicKey})
	id := p.as.claims("billing")
	maps.Copy(id, jwt.MapClaims{"nonce": "n", "azp": "billing", "auth_time": time.Now().Unix()})
	idToken := p.as.sign(id, func(h map[string]any) { h["typ"] = "JWT" })
	hostile := hostileTokens(t, p, stranger, idToken)
	if len(hostile) < 40 {
		t.Fatalf("%d tokens", len(hostile))
	}
	c := p.client(false, nil)
	_, seq := p.refusals(p.acme.ID, 0)
	seen := map[string]int{}
	for name, token := range hostile {
		got := c.bear("/", token[0])
		for got.Status == http.StatusTooManyRequests { // its keys were fetched just now: whoever is right comes again
			got = c.bear("/", token[0])
		}
		challenge := got.Header.Get("WWW-Authenticate")
		if got.Status != http.StatusUnauthorized || got.User != "" || !strings.HasPrefix(challenge, "Bearer ") {
			t.Errorf("%s: %+v", name, got)
		}
		if token[1] != "scim-only" && !strings.Contains(challenge, `error="invalid_token"`) {
			t.Errorf("%s: challenged by %s", name, challenge)
		}
		var reasons []string
		seen[token[1]]++
		if reasons, seq = p.refusals(p.acme.ID, seq); (len(reasons) != 1 || reasons[0] != token[1]) && seen[token[1]] <= 11 { // then they are counted
			t.Errorf("%s: recorded as %q, want %q", name, reasons, token[1])
		}
		if token[1] != "invalid-token" && token[1] != "scim-only" && strings.Contains(got.Body, token[1]) {
			t.Errorf("%s: whoever shows it is told why: %s", name, got.Body)
		}
	}
	// None of them had an effect on who is right.
	if got := c.bear("/", p.as.token("billing")); got.Status != http.StatusOK {
		t.Errorf("%+v", got)
	}
}

// What is not good is worth nothing on a public route either: the app does not see a
// token that was meant for the gate, and sees its own.
func TestP6_PublicRoutesPassTheAppsOwnTokensAlone(t *testing.T) {
	p := newPlant(t)
	c := p.client(false, nil)
	own := newAuthServer(t).token("x")
	if got := c.bear("/public/a", own); got.Status != http.StatusOK || got.Authorization != "Bearer "+own {
		t.Errorf("without services: %+v", got)
	}
	p.hire("billing", "viewer", p.signed("billing"))
	if got := c.bear("/public/a", own); got.Status != http.StatusOK || got.User != "" || got.Authorization != "Bearer "+own {
		t.Errorf("the app's own: %+v", got)
	}
	spent := p.as.claims("billing")
	spent["exp"] = time.Now().Add(-time.Hour).Unix()
	if got := c.bear("/public/a", p.as.sign(spent, nil)); got.Status != http.StatusOK || got.User != "" || got.Authorization != "" {
		t.Errorf("one that has expired: %+v", got)
	}
	if got := c.get("/public/a", "Authorization", "Basic YTpi"); got.Authorization != "Basic YTpi" {
		t.Errorf("another scheme: %+v", got)
	}
}

// Two callers in one request are nobody, and without services everything is as it
// was.
func TestServicesAreNotGuessed(t *testing.T) {
	p := newPlant(t)
	c := p.client(false, nil)
	raw := p.as.token("billing")
	cookie := httpkit.SessionCookie + "=" + strings.Repeat("A", 43)
	if got := c.bear("/", raw); got.Status != http.StatusUnauthorized || got.Problem != "sign-in-required" {
		t.Errorf("without services: %+v", got)
	}
	p.hire("billing", "viewer", p.signed("billing"))
	for name, header := range map[string][]string{
		"a session as well":   {"Authorization", "Bearer " + raw, "Cookie", cookie},
		"two headers":         {"Authorization", "Bearer " + raw, "Authorization", "Bearer " + raw},
		"a basic one as well": {"Authorization", "Bearer " + raw, "Authorization", "Basic YTpi"},
	} {
		if got := c.get("/", header...); got.Status != http.StatusUnauthorized || got.Problem != "ambiguous-credentials" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := c.get("/", "Authorization", "Bearer "+newAuthServer(t).token("x"), "Cookie", cookie); got.Problem != "sign-in-required" {
		t.Errorf("a session and the app's own token: %+v", got)
	}
	// Nor is a token that would be two services'.
	p.hire("both", "owner", machines.Credential{JWT: &machines.JWT{Issuer: p.as.URL, Claims: machines.Claims{Audience: "app", Subject: "subject-of-billing"}}})
	_, seq := p.refusals(p.acme.ID, 0)
	if got := c.bear("/", raw); got.Status != http.StatusUnauthorized {
		t.Errorf("of two services: %+v", got)
	}
	if reasons, _ := p.refusals(p.acme.ID, seq); !has(reasons, "service-ambiguous") {
		t.Errorf("recorded as %q", reasons)
	}
}

// With its change a service is another at once: what it has open ends before the
// call returns, and what was remembered counts no more (P2).
func TestP2_AServiceThatChangesIsOut(t *testing.T) {
	p := newPlant(t)
	raw := p.as.token("billing")
	put := func(m machines.Machine) func() {
		return func() { p.hireAt(p.acme.ID, m) }
	}
	on := machines.Machine{Name: "billing", Role: "viewer", Enabled: true, Credentials: []machines.Credential{p.signed("billing")}}
	off, other, promoted := on, on, on
	off.Enabled = false
	other.Credentials = []machines.Credential{p.signed("somebody")}
	promoted.Role = "owner"
	for name, c := range map[string]struct {
		change func()
		status int
		roles  string
	}{
		"disabled":           {put(off), http.StatusUnauthorized, ""},
		"another credential": {put(other), http.StatusUnauthorized, ""},
		"another role":       {put(promoted), http.StatusOK, "owner"},
		"deleted": {func() {
			p.must(p.Services().Machines.Delete(t.Context(), audit.SystemCause(), p.acme.ID, "billing", 0))
		}, http.StatusUnauthorized, ""},
	} {
		put(on)()
		http1, http2 := p.client(false, nil), p.client(true, nil)
		ended := []func() bool{http1.hold("Authorization", "Bearer "+raw), http2.hold("Authorization", "Bearer "+raw)}
		c.change()
		for _, over := range ended {
			if !over() {
				t.Errorf("%s: what was open is still open", name)
			}
		}
		if got := http2.bear("/", raw); got.Status != c.status || got.Roles != c.roles {
			t.Errorf("%s: afterwards %+v", name, got)
		}
	}
}

// A connection's provider vouches for programs as long as the connection is open,
// and never with the tokens by which people sign in.
func TestP2_AServiceOfAConnectionEndsWithIt(t *testing.T) {
	p := newPlant(t)
	connection := tenants.Connection{Name: "okta", Type: tenants.OIDC, Enabled: true, OIDC: &tenants.OIDCSpec{Issuer: p.as.URL, ClientID: "gatehouse"}}
	keep := func() (kept tenants.Connection) {
		t.Helper()
		kept, err := p.Services().Tenants.PutConnection(t.Context(), audit.SystemCause(), p.acme.ID, connection)
		p.must(err)
		return kept
	}
	okta := keep().ID
	p.hire("billing", "viewer", machines.Credential{JWT: &machines.JWT{Connection: "okta", ConnectionID: okta, Claims: machines.Claims{Audience: "app", ClientID: "billing"}}})
	c, raw := p.client(false, nil), p.as.token("billing")
	if got := c.bear("/", raw); got.Status != http.StatusOK {
		t.Fatalf("%+v", got)
	}
	over := c.hold("Authorization", "Bearer "+raw)
	connection.Enabled = false
	keep()
	p.must(p.Services().Machines.EndConnection(t.Context(), p.acme.ID, okta))
	if !over() {
		t.Error("what was open is still open")
	}
	if got := c.bear("/", raw); got.Status != http.StatusUnauthorized {
		t.Errorf("by a connection that is closed: %+v", got)
	}
	connection.Enabled, connection.OIDC.ClientID = true, "app"
	keep()
	if got := c.bear("/", raw); got.Status != http.StatusUnauthorized {
		t.Errorf("by tokens for the gate itself: %+v", got)
	}
	connection.OIDC.ClientID = "gatehouse"
	keep()
	if got := c.bear("/", raw); got.Status != http.StatusOK {
		t.Errorf("open again: %+v", got)
	}
	p.must(p.Services().Tenants.DeleteConnection(t.Context(), audit.SystemCause(), p.acme.ID, "okta", 0))
	keep()
	if got := c.bear("/", raw); got.Status != http.StatusUnauthorized {
		t.Errorf("by another connection of the same name: %+v", got)
	}
}

// One tenant's service is nobody at another (P3).
func TestP3_AServiceIsOneTenantsAlone(t *testing.T) {
	p := newPlant(t)
	p.hire("billing", "owner", p.signed("billing"))
	raw := p.as.token("billing")
	c := p.client(true, nil)
	if got := c.bear("/", raw); got.Status != http.StatusOK {
		t.Fatalf("%+v", got)
	}
	if got := c.bear("globex.test/", raw); got.Status != http.StatusUnauthorized || got.Problem != "sign-in-required" {
		t.Errorf("where there are no services: %+v", got)
	}
	stranger := newAuthServer(t)
	theirs := p.hireAt(p.globex.ID, machines.Machine{Name: "billing", Role: "viewer", Enabled: true, Credentials: []machines.Credential{
		{JWT: &machines.JWT{Issuer: stranger.URL, Claims: machines.Claims{Audience: "app", ClientID: "billing"}}}}})
	for range 2 {
		if got := c.bear("globex.test/", raw); got.Status != http.StatusUnauthorized {
			t.Errorf("at another tenant: %+v", got)
		}
		if got := c.bear("globex.test/", stranger.token("billing")); got.Status != http.StatusOK || got.User != string(theirs.ID) {
			t.Errorf("at home: %+v", got)
		}
		if got := c.bear("/", stranger.token("billing")); got.Status != http.StatusUnauthorized {
			t.Errorf("the other's here: %+v", got)
		}
	}
}

// Keys are followed as they change, and a token that cannot be judged is neither
// good nor bad (P7). Strangers do not have them be fetched without end.
func TestP7_KeysThatCannotBeHad(t *testing.T) {
	p := newPlant(t)
	p.hire("billing", "viewer", p.signed("billing"))
	c := p.client(false, nil)
	p.as.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	raw := p.as.token("billing")
	if got := c.bear("/", raw); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || got.User != "" {
		t.Errorf("without keys: %+v", got)
	}
	p.as.answers(nil)
	p.soon("the issuer", func() bool { return c.bear("/", raw).Status == http.StatusOK })
	// A new key, in the middle of it.
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.must(err)
	p.as.publish(map[string]*ecdsa.PublicKey{"k1": &p.as.key.PublicKey, "k2": &next.PublicKey})
	rolled := &authServer{Server: p.as.Server, key: next}
	fresh := rolled.sign(rolled.claims("billing"), func(h map[string]any) { h["kid"] = "k2" })
	p.soon("the new key", func() bool { return c.bear("/", fresh).Status == http.StatusOK })
	if got := c.bear("/", p.as.token("billing")); got.Status != http.StatusOK {
		t.Errorf("by the key before, which is there still: %+v", got)
	}
	// Unknown keys, many of them.
	before, begun := p.as.keysAsked.Load(), time.Now()
	for i := range 200 {
		forged := rolled.sign(rolled.claims("billing"), func(h map[string]any) { h["kid"] = fmt.Sprint("x", i) })
		if got := c.bear("/", forged); got.Status != http.StatusUnauthorized && got.Status != http.StatusTooManyRequests {
			t.Fatalf("%+v", got)
		}
	}
	if n, most := p.as.keysAsked.Load()-before, 6+int64(time.Since(begun)/time.Second); n > most {
		t.Errorf("the keys were fetched %d times, at most %d are wanted", n, most)
	}
	// Whoever is known goes on meanwhile, and who shows a key that is known comes in.
	p.as.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, raw := range []string{raw, p.as.token("billing")} {
		if got := c.bear("/", raw); got.Status != http.StatusOK {
			t.Errorf("while the issuer is away: %+v", got)
		}
	}
}

// The networks of a tenant, and of a role, are those of services as well, and what is
// wrong with a token stands in the journal wherever it was shown.
func TestServicesComeFromWhereTheyMay(t *testing.T) {
	p := newPlant(t)
	p.hire("billing", "viewer", p.signed("billing"))
	c, raw := p.client(false, nil), p.as.token("billing")
	set := func(s tenants.SessionSettings) {
		t.Helper()
		_, err := p.Services().Tenants.Update(t.Context(), audit.SystemCause(), p.acme.ID, 0, func(t *tenants.Tenant) error { t.Settings.Session = s; return nil })
		p.must(err)
	}
	here, elsewhere := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	for name, w := range map[string]struct {
		settings tenants.SessionSettings
		problem  string
	}{
		"here":                         {tenants.SessionSettings{Networks: here}, ""},
		"elsewhere":                    {tenants.SessionSettings{Networks: elsewhere}, "network-not-allowed"},
		"elsewhere, for its role":      {tenants.SessionSettings{RoleNetworks: map[string][]netip.Prefix{"viewer": elsewhere}}, "network-not-allowed-for-role"},
		"elsewhere, for another role":  {tenants.SessionSettings{RoleNetworks: map[string][]netip.Prefix{"owner": elsewhere}}, ""},
		"here, and for its role there": {tenants.SessionSettings{Networks: here, RoleNetworks: map[string][]netip.Prefix{"viewer": elsewhere}}, "network-not-allowed-for-role"},
	} {
		set(w.settings)
		if got := c.bear("/", raw); got.Problem != w.problem || (got.Status == http.StatusOK) != (w.problem == "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	set(tenants.SessionSettings{})
	// A role that is given networks closes what is open from elsewhere.
	over := c.hold("Authorization", "Bearer "+raw)
	set(tenants.SessionSettings{RoleNetworks: map[string][]netip.Prefix{"viewer": elsewhere}})
	if !over() {
		t.Error("what was open from elsewhere is still open")
	}
	set(tenants.SessionSettings{})
	claims := p.as.claims("billing")
	claims["aud"] = "other"
	_, seq := p.refusals(p.acme.ID, 0)
	got := c.bear("/.gatehouse/api/v1/me", p.as.sign(claims, nil))
	if reasons, _ := p.refusals(p.acme.ID, seq); got.Status != http.StatusUnauthorized || !has(reasons, "wrong-audience") ||
		!strings.Contains(got.Header.Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("the API: %q, %+v", reasons, got)
	}
	if got := c.bear("/scim/v2/Users", raw); got.Status != http.StatusUnauthorized {
		t.Errorf("SCIM: %+v", got)
	}
}
