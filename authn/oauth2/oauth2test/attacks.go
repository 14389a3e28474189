package oauth2test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/authn"
	"gatehouse/tenants"
)

// Attack is what a hostile provider, or somebody who can change what it says,
// makes of one part of a sign-in.
type Attack struct {
	// Check is the one reason not to accept it, by its name; "": it fails otherwise.
	Check string
	Do    func(*Provider, *Thief)
	// Connection, if set, changes the connection.
	Connection func(*tenants.OAuth2Spec)
	Want       authn.Reason
}

// Thief is a host that must not hear of anything.
type Thief struct {
	*httptest.Server
	Heard atomic.Int64
}

// NewThief starts a host that would answer all questions.
func NewThief(t testing.TB) *Thief {
	thief := &Thief{}
	thief.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		thief.Heard.Add(1)
		if strings.HasPrefix(r.URL.Path, "/user/") {
			Reply(w, []any{map[string]string{"login": "admins"}})
			return
		}
		Reply(w, map[string]any{"id": 1, "access_token": "stolen", "token_type": "bearer"})
	}))
	t.Cleanup(thief.Close)
	return thief
}

// answers gives a fixed answer for a path.
func answers(path string, status int, media, body string) func(*Provider, *Thief) {
	return func(p *Provider, _ *Thief) {
		p.Instead(path, func(w http.ResponseWriter, _ *http.Request) {
			if media != "" {
				w.Header().Set("Content-Type", media)
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		})
	}
}

// changes has what is honest be changed on its way.
func changes(path string, change func(status int, body string) (int, string)) func(*Provider, *Thief) {
	return func(p *Provider, _ *Thief) {
		p.Instead(path, func(w http.ResponseWriter, r *http.Request) {
			honest := httptest.NewRecorder()
			p.Honest(honest, r)
			status, body := change(honest.Code, honest.Body.String())
			w.Header().Set("Content-Type", honest.Header().Get("Content-Type"))
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		})
	}
}

func says(path, body string) func(*Provider, *Thief) {
	return answers(path, http.StatusOK, "application/json", body)
}

// edits replaces a part of what is honest.
func edits(path, part, by string) func(*Provider, *Thief) {
	return changes(path, func(status int, body string) (int, string) { return status, strings.Replace(body, part, by, 1) })
}

func subject(id string) func(*Provider, *Thief) {
	return edits(User, `"id":`+string(Ann().ID), `"id":`+id)
}

func redirected(change func(url.Values)) func(*Provider, *Thief) {
	return func(p *Provider, _ *Thief) { p.Answer(change) }
}

// sentOn redirects a request.
func sentOn(path string, status int, to func(*Provider, *Thief) string) func(*Provider, *Thief) {
	return func(p *Provider, thief *Thief) {
		p.Instead(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to(p, thief), status) })
	}
}

func toThief(_ *Provider, thief *Thief) string { return thief.URL + "/user/orgs" }
func inside(address string) func(*Provider, *Thief) string {
	return func(*Provider, *Thief) string { return address }
}

// linked gives a list whose Link field says where it goes on.
func linked(link func(p *Provider, thief *Thief, page int) string) func(*Provider, *Thief) {
	return func(p *Provider, thief *Thief) {
		var asked atomic.Int64
		p.Instead(Orgs, func(w http.ResponseWriter, r *http.Request) {
			if _, ok := p.Bearer(r); !ok {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			n := int(asked.Add(1))
			if value := link(p, thief, n); value != "" {
				w.Header().Set("Link", value)
			}
			Reply(w, []any{map[string]string{"login": "org-" + strconv.Itoa(n)}})
		})
	}
}

func zipped(body []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body)
	_ = z.Close()
	return b.String()
}

const issuer = "https://hub.example"

func namesIssuer(s *tenants.OAuth2Spec) { s.Issuer = issuer }

func groupsClaimed(s *tenants.OAuth2Spec) { s.GroupsFrom, s.Claims.Groups = nil, "roles" }

// Attacks are by name.
func Attacks() map[string]Attack {
	all := map[string]Attack{}
	for _, some := range []map[string]Attack{ofTheAnswer(), ofTheToken(), ofTheForm(), ofThePerson(), ofTheLists()} {
		for name, a := range some {
			all[name] = a
		}
	}
	return all
}

func ofTheAnswer() map[string]Attack {
	const failure, code = "the provider says no error", "there is one code"
	return map[string]Attack{
		"an answer of another issuer": {"the issuer is the connection's", redirected(func(v url.Values) { v.Set("iss", "https://evil.example") }), namesIssuer, authn.WrongIssuer},
		"an answer without an issuer": {"the issuer is the connection's", func(*Provider, *Thief) {}, namesIssuer, authn.WrongIssuer},
		"an answer of two issuers": {"the issuer is the connection's", redirected(func(v url.Values) { v["iss"] = []string{issuer, "https://evil.example"} }),
			namesIssuer, authn.WrongIssuer},
		"an issuer with a slash":    {"the issuer is the connection's", redirected(func(v url.Values) { v.Set("iss", issuer+"/") }), namesIssuer, authn.WrongIssuer},
		"a code and an error":       {failure, redirected(func(v url.Values) { v.Set("error", "access_denied") }), nil, authn.ProviderRefused},
		"an error in markup":        {failure, redirected(func(v url.Values) { v.Set("error", "<script>alert(1)</script>") }), nil, authn.ProviderRefused},
		"two codes":                 {code, redirected(func(v url.Values) { v.Add("code", "other") }), nil, authn.Malformed},
		"no code":                   {"", redirected(func(v url.Values) { v.Del("code") }), nil, authn.Malformed},
		"a token, no code":          {"", redirected(func(v url.Values) { v.Del("code"); v.Set("access_token", "at") }), nil, authn.Malformed},
		"a code that is too long":   {"", redirected(func(v url.Values) { v.Set("code", strings.Repeat("c", 5000)) }), nil, authn.Malformed},
		"a code that was made up":   {"", redirected(func(v url.Values) { v.Set("code", "guess") }), nil, authn.CodeRejected},
		"a code of another sign-in": {"", func(p *Provider, _ *Thief) { p.Answer(p.inject) }, nil, authn.CodeRejected},
	}
}

// inject answers with a code that was made for another sign-in by the same client:
// the code verifier alone tells (RFC 9700 §4.5).
func (p *Provider) inject(v url.Values) {
	others := code{account: p.account, callback: p.asked.Get("redirect_uri")}
	if p.asked.Has("code_challenge") {
		others.challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B
	}
	p.codes["injected"] = others
	v.Set("code", "injected")
}

func ofTheToken() map[string]Attack {
	const status, none, one, bearer = "the status is 200", "the token answer says no error", "the token is one", "the token is for its bearer"
	const form = "application/x-www-form-urlencoded"
	token := func(text string) func(*Provider, *Thief) {
		return func(p *Provider, _ *Thief) { p.NewToken = func() string { return text } }
	}
	return map[string]Attack{
		"a refusal with a token":      {status, changes(Token, func(_ int, body string) (int, string) { return http.StatusBadRequest, body }), nil, authn.CodeRejected},
		"an error with a token":       {none, edits(Token, `{`, `{"error":"bad_verification_code",`), nil, authn.CodeRejected},
		"an error that is a list":     {none, edits(Token, `{`, `{"error":[],`), nil, authn.CodeRejected},
		"a token for a key's holder":  {bearer, edits(Token, `"bearer"`, `"mac"`), nil, authn.WrongTokenType},
		"a token bound to a key":      {bearer, edits(Token, `"bearer"`, `"DPoP"`), nil, authn.WrongTokenType},
		"a token of no type":          {bearer, edits(Token, `"token_type":"bearer"`, `"x":1`), nil, authn.WrongTokenType},
		"a token of two words":        {one, token("gho_a b"), nil, authn.Malformed},
		"a token that is too long":    {one, token(strings.Repeat("t", 8<<10+1)), nil, authn.Malformed},
		"a token with a line end":     {"", says(Token, `{"access_token":"a\r\nX-Evil: 1","token_type":"bearer"}`), nil, authn.Malformed},
		"a token that is a number":    {"", says(Token, `{"access_token":1,"token_type":"bearer"}`), nil, authn.Malformed},
		"an empty token":              {"", says(Token, `{"access_token":"","token_type":"bearer"}`), nil, authn.Malformed},
		"no token":                    {"", says(Token, `{}`), nil, authn.Malformed},
		"a token in a list":           {"", says(Token, `[{"access_token":"at","token_type":"bearer"}]`), nil, authn.Malformed},
		"a token by nothing":          {"", says(Token, ``), nil, authn.Malformed},
		"a token in markup":           {"", answers(Token, http.StatusOK, "text/html", `{"access_token":"at","token_type":"bearer"}`), nil, authn.WrongMediaType},
		"a token of no media type":    {"", answers(Token, http.StatusOK, "text/plain", `access_token=at&token_type=bearer`), nil, authn.WrongMediaType},
		"two tokens in a form":        {"no name comes twice", twoInAForm, nil, authn.Malformed},
		"a form that is none":         {"", answers(Token, http.StatusOK, form, `access_token=%zz`), nil, authn.Malformed},
		"an error in a form":          {"", answers(Token, http.StatusOK, form, `error=bad_verification_code`), nil, authn.CodeRejected},
		"an unknown error":            {"", answers(Token, http.StatusBadRequest, "application/json", `{"error":"<script>"}`), nil, authn.CodeRejected},
		"an error that is no JSON":    {"", answers(Token, http.StatusUnauthorized, "text/html", `<html>`), nil, authn.CodeRejected},
		"a token endpoint at fault":   {"", answers(Token, http.StatusBadGateway, "text/html", `<html>`), nil, authn.ProviderUnreachable},
		"the code sent elsewhere":     {"", sentOn(Token, http.StatusTemporaryRedirect, toThief), nil, authn.ProviderUnreachable},
		"the code sent inside":        {"", sentOn(Token, http.StatusPermanentRedirect, inside("http://169.254.169.254/latest/meta-data/")), nil, authn.ProviderUnreachable},
		"us sent elsewhere for it":    {"", sentOn(Token, http.StatusSeeOther, toThief), nil, authn.ProviderUnreachable},
		"a token endpoint inside":     {"", func(*Provider, *Thief) {}, func(s *tenants.OAuth2Spec) { s.TokenURL = "https://10.0.0.1/token" }, authn.ProviderUnreachable},
		"a token answer that is huge": {"", says(Token, strings.Repeat(" ", 2<<20)+`{}`), nil, authn.TooLarge},
	}
}

func twoInAForm(p *Provider, _ *Thief) {
	p.Instead(Token, func(w http.ResponseWriter, r *http.Request) {
		p.Honest(httptest.NewRecorder(), r)
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
		_, _ = fmt.Fprintf(w, "access_token=other&token_type=bearer&access_token=%s", url.QueryEscape(p.Tokens()[0]))
	})
}

func ofTheForm() map[string]Attack {
	const status, media, size, nesting, twice, follows = "the status is 200", "the media type is one of data", "the size is bounded", "the nesting is bounded",
		"no name comes twice", "nothing follows"
	deep := strings.Repeat("[", 30) + strings.Repeat("]", 30)
	body := func(change func(string) string) func(*Provider, *Thief) {
		return changes(User, func(status int, body string) (int, string) { return status, change(body) })
	}
	return map[string]Attack{
		"a person with the status 203":   {status, changes(User, func(_ int, b string) (int, string) { return http.StatusNonAuthoritativeInfo, b }), nil, authn.ProviderUnreachable},
		"a person with the status 500":   {status, changes(User, func(_ int, b string) (int, string) { return http.StatusInternalServerError, b }), nil, authn.ProviderUnreachable},
		"a person in a redirect":         {status, changes(User, func(_ int, b string) (int, string) { return http.StatusFound, b }), nil, authn.ProviderUnreachable},
		"a person in markup":             {media, answers(User, http.StatusOK, "text/html", UserJSON(Ann())), nil, authn.WrongMediaType},
		"a person of no media type":      {media, answers(User, http.StatusOK, "application/octet-stream", UserJSON(Ann())), nil, authn.WrongMediaType},
		"a person in a form":             {"", answers(User, http.StatusOK, "application/x-www-form-urlencoded", "id=1&login=ann"), nil, authn.WrongMediaType},
		"a person in Latin-1":            {"the text is UTF-8", edits(User, `"Ann"`, "\"Ann\xe4\""), nil, authn.Malformed},
		"a person at great depth":        {nesting, edits(User, `"plan":`, `"deep":`+deep+`,"plan":`), nil, authn.TooDeep},
		"a person at endless depth":      {"", says(User, strings.Repeat("[", 200_000)), nil, authn.Malformed},
		"a person twice":                 {twice, edits(User, `{`, `{"id":1,`), nil, authn.Malformed},
		"a name twice, once escaped":     {twice, edits(User, `{`, `{"\u0069d":1,`), nil, authn.Malformed},
		"a name twice within":            {twice, edits(User, `"plan":{`, `"plan":{"name":"free",`), nil, authn.Malformed},
		"a person and another":           {follows, body(func(b string) string { return b + `{"id":1}` }), nil, authn.Malformed},
		"a person that is cut short":     {"", body(func(b string) string { return b[:len(b)-1] }), nil, authn.Malformed},
		"a person that is a list":        {"", says(User, `[{"id":1}]`), nil, authn.SubjectUnusable},
		"a person of nothing":            {"", says(User, `null`), nil, authn.SubjectUnusable},
		"a person that is large":         {size, body(func(b string) string { return b + strings.Repeat(" ", 300<<10) }), nil, authn.TooLarge},
		"a person that is huge":          {"", body(func(b string) string { return b + strings.Repeat(" ", 2<<20) }), nil, authn.TooLarge},
		"a person that grows":            {"", growing, nil, authn.TooLarge},
		"an answer that is cut off":      {"", cutOff, nil, authn.ProviderUnreachable},
		"us sent elsewhere for a person": {"", sentOn(User, http.StatusFound, toThief), nil, authn.ProviderUnreachable},
		"us sent inside for a person":    {"", sentOn(User, http.StatusMovedPermanently, inside("http://10.0.0.1/")), nil, authn.ProviderUnreachable},
		"us sent round for a person": {"", sentOn(User, http.StatusTemporaryRedirect, func(p *Provider, _ *Thief) string { return p.URL + User }), nil,
			authn.ProviderUnreachable},
		"a user API inside": {"", func(*Provider, *Thief) {}, func(s *tenants.OAuth2Spec) { s.UserinfoURL = "https://169.254.169.254/latest/meta-data/" },
			authn.ProviderUnreachable},
		"a token that is not known": {"", answers(User, http.StatusUnauthorized, "application/json", `{"message":"Bad credentials"}`), nil, authn.ProviderUnreachable},
	}
}

// growing unpacks to more than it may be.
func growing(p *Provider, _ *Thief) {
	grown := zipped(append([]byte(UserJSON(Ann())), bytes.Repeat([]byte(" "), 50<<20)...)) // takes long on a busy machine
	p.Instead(User, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = fmt.Fprint(w, grown)
	})
}

func cutOff(p *Provider, _ *Thief) {
	p.Instead(User, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "500")
		_, _ = fmt.Fprint(w, UserJSON(Ann()))
	})
}

func ofThePerson() map[string]Attack {
	const kind, length, text, same = "the subject is a name or a number", "the subject has a length", "the subject is plain text", "all answers are about one person"
	id := func(check, raw string) Attack { return Attack{check, subject(raw), nil, authn.SubjectUnusable} }
	return map[string]Attack{
		"the subject 0":              id(kind, `0`),
		"the subject -1":             id(kind, `-1`),
		"the subject 1e3":            id(kind, `1e3`),
		"the subject 1.0":            id(kind, `1.0`),
		"the subject true":           id(kind, `true`),
		"a subject in an object":     id(kind, `{"id":1}`),
		"a subject in a list":        id(kind, `[1]`),
		"the subject null":           id("", `null`),
		"no subject":                 {"", edits(User, `"id":`, `"ID":`), nil, authn.SubjectUnusable},
		"an empty subject":           id(length, `""`),
		"a subject that is too long": id(length, `"`+strings.Repeat("s", 256)+`"`),
		"a number that is too long":  id(length, strings.Repeat("9", 256)),
		"a subject with a null byte": id(text, `"ann\u0000"`),
		"a subject with a line end":  id(text, `"ann\n"`),
		"a subject with a space":     id(text, `" ann"`),
		"half a character":           id(text, `"\ud800"`),
		"somebody else at the end":   {same, somebodyElse, nil, authn.SubjectUnusable},
	}
}

// somebodyElse is who the user API tells about from the second time on.
func somebodyElse(p *Provider, _ *Thief) {
	var asked atomic.Int64
	p.Instead(User, func(w http.ResponseWriter, _ *http.Request) {
		who := Ann()
		if asked.Add(1) > 1 {
			who.ID = "2"
		}
		_, _ = fmt.Fprint(asJSON(w), UserJSON(who))
	})
}

func ofTheLists() map[string]Attack {
	const list, next, place, again, pages, entries = "the page is a list", "there is one next page", "the next page is at the same place", "no page comes twice",
		"the pages are bounded", "the entries are bounded"
	const primary, once, name, reading, plain = "one address is the primary one", "no address comes twice", "every group has a name", "a group's name has one reading",
		"a group's name is plain text"
	bad := authn.GroupsUnusable
	goesOn := func(to func(*Provider, *Thief) string) func(*Provider, *Thief) {
		return linked(func(p *Provider, thief *Thief, n int) string {
			if n > 1 {
				return ""
			}
			return "<" + to(p, thief) + `>; rel="next"`
		})
	}
	fixed := func(link string) func(*Provider, *Thief) {
		return linked(func(*Provider, *Thief, int) string { return link })
	}
	return map[string]Attack{
		"groups at another host":         {place, goesOn(toThief), nil, bad},
		"groups at another port":         {"", goesOn(inside("http://127.0.0.1:1/user/orgs")), nil, bad},
		"groups inside":                  {"", goesOn(inside("http://10.0.0.1/")), nil, bad},
		"groups by another scheme":       {"", goesOn(inside("file:///etc/passwd")), nil, bad},
		"groups behind a name":           {"", goesOn(func(p *Provider, _ *Thief) string { return strings.Replace(p.URL, "//", "//thief@", 1) + Orgs }), nil, bad},
		"groups at a host like ours":     {"", goesOn(func(p *Provider, _ *Thief) string { return p.URL + ".evil.example/user/orgs" }), nil, bad},
		"groups by a relative reference": {"", goesOn(func(_ *Provider, thief *Thief) string { return strings.TrimPrefix(thief.URL, "http:") + "/user/orgs" }), nil, bad},
		"groups that go on in two ways":  {next, linked(twoWays), nil, bad},
		"a link that cannot be read":     {next, fixed(`</user/orgs?page=2>; rel="next`), nil, bad},
		"a link that is none":            {next, fixed(`/user/orgs?page=2; rel=next`), nil, bad},
		"groups that go round": {again, linked(func(p *Provider, _ *Thief, n int) string {
			return []string{"", `<` + p.URL + Orgs + `>; rel="next"`, ""}[min(n, 2)]
		}), nil, bad},
		"groups that go round for ever": {"", linked(func(p *Provider, _ *Thief, n int) string {
			return fmt.Sprintf(`<%s%s?page=%d>; rel="next"`, p.URL, Orgs, n%2)
		}), nil, bad},
		"groups on 25 pages": {pages, linked(func(p *Provider, _ *Thief, n int) string {
			if n == 25 {
				return ""
			}
			return fmt.Sprintf(`<%s%s?page=%d>; rel="next"`, p.URL, Orgs, n+1)
		}), nil, authn.TooLarge},
		"groups without end":       {"", linked(func(p *Provider, _ *Thief, n int) string { return fmt.Sprintf(`<?page=%d>; rel=next`, n+1) }), nil, authn.TooLarge},
		"1,001 groups in a list":   {entries, says(Orgs, "["+strings.Repeat(`{"login":"a"},`, 1000)+`{"login":"b"}]`), nil, authn.TooLarge},
		"1,001 groups in a claim":  {"the groups are bounded", edits(User, `"plan"`, `"roles":`+numbered(1001)+`,"plan"`), groupsClaimed, authn.TooLarge},
		"groups that are an error": {list, says(Orgs, `{"message":"You need at least read:org"}`), nil, bad},
		"groups that are nothing":  {list, says(Orgs, `null`), nil, bad},
		"groups that are refused":  {"", answers(Orgs, http.StatusForbidden, "application/json", `[]`), nil, authn.ProviderUnreachable},
		"groups that fail":         {"", answers(Teams, http.StatusBadGateway, "text/html", ``), nil, authn.ProviderUnreachable},
		"groups elsewhere":         {"", sentOn(Teams, http.StatusFound, toThief), nil, authn.ProviderUnreachable},
		"a group without a name":   {name, says(Orgs, `[{"login":"acme"},{}]`), nil, bad},
		"a group named by a list":  {name, says(Orgs, `[{"login":["acme"]}]`), nil, bad},
		"a group that is a text":   {name, says(Orgs, `["acme"]`), nil, bad},
		"half a team":              {name, says(Teams, `[{"slug":"ops","organization":null}]`), nil, bad},
		"a team in another's name": {reading, says(Teams, `[{"slug":"x","organization":{"login":"acme/ops"}}]`), nil, bad},
		"a group of two lines":     {plain, says(Orgs, `[{"login":"acme\nops"}]`), nil, bad},
		"a group of half a letter": {plain, says(Orgs, `[{"login":"acme\ud800"}]`), nil, bad},
		"a group of 2 KiB":         {plain, says(Orgs, `[{"login":"`+strings.Repeat("a", 2<<10)+`"}]`), nil, bad},
		"a claim of no groups":     {name, edits(User, `"plan"`, `"roles":{"admin":true},"plan"`), groupsClaimed, bad},
		"two primary addresses": {primary, says(Emails, `[{"email":"ann@acme.example","primary":true,"verified":true},{"email":"boss@acme.example","primary":true,"verified":true}]`),
			nil, authn.EmailUnusable},
		"an address twice": {once, says(Emails, `[{"email":"Ann@acme.example","primary":true,"verified":true},{"email":"ann@ACME.example","primary":false,"verified":false}]`),
			nil, authn.EmailUnusable},
		"addresses that are an error": {list, says(Emails, `{"email":"ann@acme.example","primary":true,"verified":true}`), nil, authn.EmailUnusable},
		"addresses that are refused":  {"", answers(Emails, http.StatusNotFound, "application/json", `{}`), nil, authn.ProviderUnreachable},
	}
}

func twoWays(p *Provider, _ *Thief, n int) string {
	if n > 1 {
		return ""
	}
	return fmt.Sprintf(`<%[1]s%[2]s?page=2>; rel="next", <%[1]s%[2]s?page=3>; rel="next"`, p.URL, Orgs)
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"g` + strconv.Itoa(i) + `"`)
	}
	return "[" + b.String()[1:] + "]"
}
