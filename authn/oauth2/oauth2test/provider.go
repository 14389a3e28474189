package oauth2test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"

	"gatehouse/tenants"
)

// What the provider knows of its client.
const (
	ClientID     = "gatehouse"
	ClientSecret = "a secret with: odd/chars"
)

// The paths of the provider.
const (
	Authorize = "/login/oauth/authorize"
	Token     = "/login/oauth/access_token" // #nosec G101 -- a path
	User      = "/user"
	Emails    = "/user/emails"
	Orgs      = "/user/orgs"
	Teams     = "/user/teams"
	Revoke    = "/revoke"
)

// Email is an address of an account.
type Email struct {
	Email    string `json:"email"`
	Primary  bool   `json:"primary"`
	Verified bool   `json:"verified"`
}

// Account is whom the provider tells about.
type Account struct {
	ID     json.Number
	Login  string
	Name   string
	Emails []Email
	Orgs   []string
	Teams  [][2]string // organisation and slug
}

// Ann has two addresses, an organisation and two teams.
func Ann() Account {
	return Account{ID: "9007199254740993", Login: "ann", Name: "Ann", // 2^53+1, which no float64 holds
		Emails: []Email{{"ann@home.example", false, true}, {"ann@acme.example", true, true}},
		Orgs:   []string{"acme"}, Teams: [][2]string{{"acme", "ops"}, {"acme", "payments"}}}
}

// Provider is the provider, served over HTTP. Its exported fields are for the time
// before it is asked, its methods for any time.
type Provider struct {
	*httptest.Server
	// PerPage is how many entries a page has.
	PerPage int
	// NewToken makes the next access token.
	NewToken func() string

	t       testing.TB
	mu      sync.Mutex
	account Account
	codes   map[string]code
	tokens  map[string]Account
	instead map[string]func(http.ResponseWriter, *http.Request)
	answer  func(url.Values)
	asked   url.Values
	calls   []string
	revoked []string
}

type code struct {
	account             Account
	challenge, callback string
}

// New starts a provider at which Ann is signed in.
func New(t testing.TB) *Provider {
	p := &Provider{t: t, PerPage: 100, NewToken: func() string { return "gho_" + rand.Text() }, account: Ann(),
		codes: map[string]code{}, tokens: map[string]Account{}, instead: map[string]func(http.ResponseWriter, *http.Request){}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

// Connection is a connection to the provider, as if its preset were known.
func (p *Provider) Connection() tenants.Connection {
	return tenants.Connection{Name: "hub", Type: tenants.OAuth2, Enabled: true, DefaultRole: "member", OAuth2: &tenants.OAuth2Spec{
		AuthorizationURL: p.URL + Authorize, TokenURL: p.URL + Token, UserinfoURL: p.URL + User, EmailsURL: p.URL + Emails,
		GroupsFrom: []tenants.GroupSource{{URL: p.URL + Orgs, Name: []string{"login"}},
			{URL: p.URL + Teams, Name: []string{"organization.login", "slug"}}},
		ClientID: ClientID, ClientSecret: ClientSecret, Scopes: []string{"read:user", "read:org"},
		Claims: tenants.OAuth2Claims{Subject: "id"}}}
}

// SignIn has somebody else be signed in at the provider from now on.
func (p *Provider) SignIn(a Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.account = a
}

// Answer changes the authorisation response.
func (p *Provider) Answer(change func(url.Values)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = change
}

// Instead answers for a path otherwise.
func (p *Provider) Instead(path string, answer func(http.ResponseWriter, *http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instead[path] = answer
}

// Asked is the last authorisation request.
func (p *Provider) Asked() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Revoked are the tokens that were taken back.
func (p *Provider) Revoked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.revoked)
}

// Tokens are the tokens that were given out and not taken back.
func (p *Provider) Tokens() (good []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for token := range p.tokens {
		good = append(good, token)
	}
	return good
}

// Calls are the paths that were asked, in order.
func (p *Provider) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.calls = append(p.calls, r.URL.Path)
	instead := p.instead[r.URL.Path]
	p.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	p.Honest(w, r)
}

// Honest answers as the provider should.
func (p *Provider) Honest(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case Authorize:
		p.authorize(w, r)
	case Token:
		p.redeem(w, r)
	case Revoke:
		p.revoke(w, r)
	case User, Emails, Orgs, Teams:
		p.api(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = q
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Has("code_challenge") && q.Get("code_challenge_method") != "S256" {
		http.Error(w, "this is no request of a client that is known", http.StatusBadRequest)
		return
	}
	c := rand.Text()
	p.codes[c] = code{p.account, q.Get("code_challenge"), q.Get("redirect_uri")}
	back := url.Values{"code": {c}, "state": {q.Get("state")}}
	if p.answer != nil {
		p.answer(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound) // #nosec G710 -- to whoever asks: it is for tests
}

// client checks the client's secret, shown in either way.
func client(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		return id == ClientID && secret == ClientSecret && !r.PostForm.Has("client_secret")
	}
	return r.PostForm.Get("client_id") == ClientID && r.PostForm.Get("client_secret") == ClientSecret
}

// redeem refuses as GitHub does: with the status 200.
func (p *Provider) redeem(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := r.ParseForm(); err != nil || !client(r) {
		Reply(w, map[string]string{"error": "incorrect_client_credentials"})
		return
	}
	c, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	proved := c.challenge == "" || base64.RawURLEncoding.EncodeToString(sum[:]) == c.challenge
	if !ok || !proved || c.callback != r.PostForm.Get("redirect_uri") {
		Reply(w, map[string]string{"error": "bad_verification_code", "error_description": "The code is not good: " + r.PostForm.Get("code")})
		return
	}
	token := p.NewToken()
	p.tokens[token] = c.account
	Reply(w, map[string]any{"access_token": token, "token_type": "bearer", "scope": "read:org,read:user"})
}

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := r.ParseForm(); err != nil || !client(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.revoked = append(p.revoked, r.PostForm.Get("token"))
	delete(p.tokens, r.PostForm.Get("token"))
}

func (p *Provider) api(w http.ResponseWriter, r *http.Request) {
	a, ok := p.Bearer(r)
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		Reply(w, map[string]string{"message": "Bad credentials"})
		return
	}
	var list []any
	switch r.URL.Path {
	case User:
		_, _ = fmt.Fprint(asJSON(w), UserJSON(a))
		return
	case Emails:
		for _, e := range a.Emails {
			list = append(list, e)
		}
	case Orgs:
		for _, o := range a.Orgs {
			list = append(list, map[string]any{"login": o, "id": len(o)})
		}
	case Teams:
		for _, t := range a.Teams {
			list = append(list, map[string]any{"slug": t[1], "name": "Team " + t[1], "organization": map[string]any{"login": t[0]}})
		}
	}
	p.page(w, r, list)
}

// Bearer tells whose token a request shows.
func (p *Provider) Bearer(r *http.Request) (Account, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for token, a := range p.tokens {
		if r.Header.Get("Authorization") == "Bearer "+token {
			return a, true
		}
	}
	return Account{}, false
}

// page gives one page, and says where the others are.
func (p *Provider) page(w http.ResponseWriter, r *http.Request, list []any) {
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	n = max(n, 1)
	last := (len(list) + p.PerPage - 1) / p.PerPage
	if n < last {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=%d>; rel="next", <%s%s?page=%d>; rel="last"`, p.URL, r.URL.Path, n+1, p.URL, r.URL.Path, last))
	}
	from := min((n-1)*p.PerPage, len(list))
	Reply(w, append([]any{}, list[from:min(from+p.PerPage, len(list))]...))
}

// UserJSON is what the user API says of an account.
func UserJSON(a Account) string {
	name, _ := json.Marshal(a.Name)
	return `{"id":` + string(a.ID) + `,"login":"` + a.Login + `","name":` + string(name) + `,"email":"shown@profile.example","site_admin":false,` +
		`"plan":{"name":"pro","seats":10}}`
}

func asJSON(w http.ResponseWriter) http.ResponseWriter {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	return w
}

// Reply answers in JSON.
func Reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(asJSON(w)).Encode(v) }
