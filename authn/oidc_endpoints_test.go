package authn_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
)

// The addresses of an issuer's.
const (
	atDiscovery     = "/.well-known/openid-configuration"
	atKeys          = "/jwks"
	atTokenEndpoint = "/token"
	atUserinfo      = "/userinfo"
)

// hangs never answers; dribbles never ends to; both end with the request.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func dribbles(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func huge(w http.ResponseWriter, _ *http.Request) {
	for range 40 {
		_, _ = io.WriteString(w, strings.Repeat(" ", 32<<10))
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}

func roundAndRound(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.URL.Path, http.StatusFound)
}

// leadsInside sends to a private address that nobody allows.
func leadsInside(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://10.255.255.1/", http.StatusFound)
}

// settled is a provider's own settings, but for one.
func settled(name, value string) func(*issuer) http.HandlerFunc {
	return func(i *issuer) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			settings := i.settings()
			settings[name] = strings.ReplaceAll(value, "SELF", i.URL)
			reply(w, settings)
		}
	}
}

func always(h http.HandlerFunc) func(*issuer) http.HandlerFunc {
	return func(*issuer) http.HandlerFunc { return h }
}

// TestP7_HostileEndpointsHoldUpNobody: whatever an address of a provider's answers,
// or does not, is over soon, and a refusal with a reason.
func TestP7_HostileEndpointsHoldUpNobody(t *testing.T) {
	patient, impatient := newWorld(t), newWorld(t)
	impatient.egress.Timeout = 500 * time.Millisecond
	oct := base64.RawURLEncoding.EncodeToString([]byte(clientSecret))
	for name, c := range map[string]struct {
		at     string
		attack func(*issuer) http.HandlerFunc
		want   authn.Reason
	}{
		"discovery hangs":                   {atDiscovery, always(hangs), authn.ProviderUnreachable},
		"discovery dribbles":                {atDiscovery, always(dribbles), authn.ProviderUnreachable},
		"discovery is huge":                 {atDiscovery, always(huge), authn.ProviderUnreachable},
		"discovery goes round":              {atDiscovery, always(roundAndRound), authn.ProviderUnreachable},
		"discovery leads inside":            {atDiscovery, always(leadsInside), authn.ProviderUnreachable},
		"discovery is no document":          {atDiscovery, always(says("<html>")), authn.ProviderUnreachable},
		"discovery is deep":                 {atDiscovery, always(says(strings.Repeat("[", 100_000))), authn.ProviderUnreachable},
		"discovery names another issuer":    {atDiscovery, settled("issuer", "https://evil.example"), authn.ProviderUnusable},
		"discovery names one with a slash":  {atDiscovery, settled("issuer", "SELF/"), authn.ProviderUnusable},
		"discovery names no issuer":         {atDiscovery, settled("issuer", ""), authn.ProviderUnusable},
		"a sign-in page that is a script":   {atDiscovery, settled("authorization_endpoint", "javascript:alert(1)"), authn.ProviderUnusable},
		"a sign-in page without TLS":        {atDiscovery, settled("authorization_endpoint", "http://idp.example/"), authn.ProviderUnusable},
		"a token address without TLS":       {atDiscovery, settled("token_endpoint", "http://idp.example/"), authn.ProviderUnusable},
		"a token address with a password":   {atDiscovery, settled("token_endpoint", "https://u:p@idp.example/"), authn.ProviderUnusable},
		"no token address":                  {atDiscovery, settled("token_endpoint", ""), authn.ProviderUnusable},
		"keys without TLS":                  {atDiscovery, settled("jwks_uri", "http://idp.example/"), authn.ProviderUnusable},
		"userinfo without TLS":              {atDiscovery, settled("userinfo_endpoint", "http://idp.example/"), authn.ProviderUnusable},
		"userinfo inside":                   {atDiscovery, settled("userinfo_endpoint", "https://10.255.255.1/"), authn.ProviderUnreachable},
		"keys inside":                       {atDiscovery, settled("jwks_uri", "https://10.255.255.1/"), authn.ProviderUnreachable},
		"a token address inside":            {atDiscovery, settled("token_endpoint", "https://169.254.169.254/"), authn.ProviderUnreachable},
		"keys hang":                         {atKeys, always(hangs), authn.ProviderUnreachable},
		"keys dribble":                      {atKeys, always(dribbles), authn.ProviderUnreachable},
		"keys are huge":                     {atKeys, always(huge), authn.ProviderUnreachable},
		"keys go round":                     {atKeys, always(roundAndRound), authn.ProviderUnreachable},
		"keys lead inside":                  {atKeys, always(leadsInside), authn.ProviderUnreachable},
		"keys that are none":                {atKeys, always(says(`{"keys":[]}`)), authn.WrongKey},
		"keys that are secrets":             {atKeys, always(says(`{"keys":[{"kty":"oct","kid":"k1","k":"` + oct + `"}]}`)), authn.WrongKey},
		"the token address hangs":           {atTokenEndpoint, always(hangs), authn.ProviderUnreachable},
		"the token address dribbles":        {atTokenEndpoint, always(dribbles), authn.ProviderUnreachable},
		"the token address is huge":         {atTokenEndpoint, always(huge), authn.ProviderUnreachable},
		"the token address goes round":      {atTokenEndpoint, always(roundAndRound), authn.ProviderUnreachable},
		"the token address answers in deep": {atTokenEndpoint, always(says(strings.Repeat(`{"a":`, 100_000))), authn.ProviderUnreachable},
		"userinfo hangs":                    {atUserinfo, always(hangs), authn.ProviderUnreachable},
		"userinfo dribbles":                 {atUserinfo, always(dribbles), authn.ProviderUnreachable},
		"userinfo is huge":                  {atUserinfo, always(huge), authn.ProviderUnreachable},
		"userinfo goes round":               {atUserinfo, always(roundAndRound), authn.ProviderUnreachable},
		"userinfo leads inside":             {atUserinfo, always(leadsInside), authn.ProviderUnreachable},
		"userinfo is no document":           {atUserinfo, always(says("[]")), authn.ProviderUnreachable},
		"userinfo is about nobody":          {atUserinfo, always(says(`{"email":"boss@acme.example"}`)), authn.SubjectUnusable},
		"userinfo is about others, by case": {atUserinfo, always(says(`{"sub":"somebody-else","email":"boss@acme.example","Sub":"subject-1"}`)), authn.SubjectUnusable},
		"userinfo is a token of its own":    {atUserinfo, always(signedUserinfo), authn.ProviderUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			w := patient
			if strings.Contains(name, "hang") || strings.Contains(name, "dribble") {
				w = impatient // which reaches no provider on a slow machine, either
			}
			w.turnsAway(t, func(i *issuer) {
				claimed("email", nil)(i) // so that userinfo is asked for
				i.front = map[string]http.HandlerFunc{c.at: c.attack(i)}
			}, c.want)
		})
	}
}

// signedUserinfo is signed with nothing.
func signedUserinfo(w http.ResponseWriter, _ *http.Request) {
	raw, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "subject-1", "email": "boss@acme.example"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = io.WriteString(w, raw)
}

// TestKeysRotateBetweenTwoSignIns, and in the middle of one: the new key counts at once,
// and what the old one signs no longer does.
func TestKeysRotateBetweenTwoSignIns(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
	old := idp.key
	idp.rollKey(t)
	w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
	under := w.browser()
	under.open("/").has(t, http.StatusOK)
	answer := w.beginElsewhere(t, under)
	idp.rollKey(t)
	under.open("/.gatehouse/oidc/idp/callback?"+answer.Encode()).has(t, http.StatusOK, "for ann@acme.example")
	forged(t, nil, jwt.SigningMethodES256, old)(idp)
	w.browser().open("/").has(t, http.StatusForbidden, "You are not signed in")
	if got := w.journal.lastRefusal(t); got != authn.WrongKey {
		t.Errorf("reason %q", got)
	}
}

// TestAnotherOnesCode: a code that somebody else was given is of no use in a sign-in
// of one's own (RFC 9700 §4.5), whether or not the provider looks at PKCE; nor is
// one's own in theirs, which would sign them in as somebody else (§4.7).
func TestAnotherOnesCode(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	const callback = "/.gatehouse/oidc/idp/callback?"
	thief, victim := w.browser(), w.browser()
	thief.open("/").has(t, http.StatusOK) // each has a cookie of its own, and begins once more below
	victim.open("/").has(t, http.StatusOK)
	before := []string{thief.cookie(httpkit.SessionCookie), victim.cookie(httpkit.SessionCookie)}
	for name, c := range map[string]struct {
		lax  bool
		want authn.Reason
	}{
		"at a provider with PKCE":    {false, authn.CodeRejected},
		"at a provider without PKCE": {true, authn.WrongNonce},
	} {
		t.Run(name, func(t *testing.T) {
			thiefs := w.beginElsewhere(t, thief)
			w.beginElsewhere(t, victim) // whose code it is: the issuer goes by the last
			idp.mu.Lock()
			idp.token = nil
			idp.mu.Unlock()
			if c.lax {
				idp.mu.Lock()
				idp.token = func(w http.ResponseWriter) bool {
					now := time.Now()
					raw, err := idp.signed(jwt.SigningMethodES256, idp.key, jwt.MapClaims{"iss": idp.URL, "aud": clientID, "sub": "subject-1",
						"exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "nonce": idp.nonce, "email": "ann@acme.example", "email_verified": true})
					if err != nil {
						panic(err)
					}
					reply(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": raw})
					return true
				}
				idp.mu.Unlock()
			}
			thief.open(callback+thiefs.Encode()).has(t, http.StatusForbidden, "You are not signed in")
			if got := w.journal.lastRefusal(t); got != c.want {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
	idp.mu.Lock()
	idp.token = nil
	idp.mu.Unlock()
	t.Run("the thief's own in the victim's browser", func(t *testing.T) {
		w.beginElsewhere(t, victim)
		victim.open(callback+w.beginElsewhere(t, thief).Encode()).has(t, http.StatusForbidden, "another browser")
		if got := w.journal.lastRefusal(t); got != "other-browser" {
			t.Errorf("reason %q", got)
		}
	})
	if thief.cookie(httpkit.SessionCookie) != before[0] || victim.cookie(httpkit.SessionCookie) != before[1] {
		t.Error("there is another session")
	}
}

// FuzzCallback: whatever comes back in a browser that has begun nothing signs nobody
// in, and is not shown as it came.
func FuzzCallback(f *testing.F) {
	for _, seed := range []string{"", "code=c0de&state=" + strings.Repeat("A", 43), "state=a&state=b&code=%00", "error=access_denied&state=x",
		"iss=%ff&code=;&state=%zz", "code[]=1&state[]=2", "error=<script>", "state=" + strings.Repeat("%41", 43) + "&error_description=<script>"} {
		f.Add(seed)
	}
	w, idp := newWorld(f), newIssuer(f)
	w.connections.put(idp.connection())
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, w.url+"/.gatehouse/oidc/idp/callback", nil)
		r.URL.RawQuery = query
		answer := httptest.NewRecorder()
		w.Handler().ServeHTTP(answer, w.passed(r))
		if answer.Code < 400 || answer.Code >= 500 || strings.Contains(answer.Body.String(), "<script>") || answer.Header()["Set-Cookie"] != nil {
			t.Errorf("%q: %d %v: %s", query, answer.Code, answer.Header(), answer.Body)
		}
	})
}
