package authn

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

// files parses the files of the code that a pattern names, without their tests.
func files(t *testing.T, pattern string) (all []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file)
	}
	return all
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

// reasons are all that the code names, here and in the rooms below.
func reasons(t *testing.T) (all []Reason) {
	t.Helper()
	for _, file := range append(files(t, "*.go"), files(t, "*/*.go")...) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			named, _ := spec.Type.(*ast.Ident)
			if below, ok := spec.Type.(*ast.SelectorExpr); ok {
				named = below.Sel
			}
			if named != nil && named.Name == "Reason" && text(spec.Values[0]) != "" {
				all = append(all, Reason(text(spec.Values[0])))
			}
			return true
		})
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) < 70 {
		t.Fatalf("only %d reasons found: the walk is broken", len(all))
	}
	return all
}

// What every refusal tells a person to do, by language, and the words of engineers
// that none of them holds.
var (
	next = map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)\b(try again|begin again|sign in (again|on another|to go on|on this|and allow|somewhere|first)|start again|ask (your|its) admin|tell your administrator|choose (another|that one)|use (the button|another way)|wait|enter the code again|look at it again|connect from another|sign out somewhere|its administrators know more|name the event)`),
		"de": regexp.MustCompile(`(?i)(versuchen Sie|beginnen Sie|melden Sie|fragen Sie|bitten Sie|nennen Sie|sagen Sie|wählen Sie|verwenden Sie|nehmen Sie|warten Sie|geben Sie|sehen Sie|verbinden Sie|deren Administratoren wissen|ihre Administratoren wissen)`),
	}
	jargon = map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)\b(saml|oidc|openid|oauth|assertions?|tokens?|nonce|audience|issuer|idp|identity provider|claims?|jwt|xml|https?|certificates?|signatures?|redirects?|parameters?|metadata|callback|session id)\b|%!`),
		"de": regexp.MustCompile(`(?i)\b(saml|oidc|openid|oauth|assertion|token|nonce|audience|issuer|idp|identitätsanbieter|aussteller|claims?|jwt|xml|https?|zertifikat|signatur|parameter|metadaten|callback)\b|%!`),
	}
)

// plain says what is wrong with a sentence for people.
func plain(l *words.Language, english, said string) string {
	switch {
	case l != words.English && said == english:
		return "is not translated"
	case !strings.HasSuffix(said, "."):
		return "is no sentence"
	case !next[l.Tag()].MatchString(said):
		return "does not say what to do next"
	case jargon[l.Tag()].MatchString(said):
		return "speaks to engineers: " + jargon[l.Tag()].FindString(said)
	}
	return ""
}

// oneTenant is the tenant that all of these are about.
type oneTenant struct{ Tenants }

func (oneTenant) ByID(id identity.TenantID) (*tenants.Tenant, bool) {
	return &tenants.Tenant{ID: id, Name: "acme", DisplayName: "Acme & Sons", Status: tenants.Active}, true
}

// seen is what a page says.
type seen struct{ title, lead, all string }

var (
	titleOf = regexp.MustCompile(`<h1>(.*?)</h1>`)
	leadOf  = regexp.MustCompile(`<p class="lead">(.*?)</p>`)
)

// refused is the page of a refusal, in a language.
func refused(t *testing.T, s *Service, l *words.Language, show func(w http.ResponseWriter, r *http.Request) error) (p seen) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://acme.example/.gatehouse/login", nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", l.Tag())
	r = r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: "req_1", Tenant: "ten_acme", TenantName: "acme", TenantTitle: "Acme & Sons",
		TenantLogo: "/.gatehouse/logo?v=1", Origin: "https://acme.example"}))
	w := httptest.NewRecorder()
	if err := show(w, r); err != nil {
		httpkit.ReplyError(w, r, err)
	}
	p.all = html.UnescapeString(w.Body.String())
	if found := titleOf.FindStringSubmatch(p.all); found != nil {
		p.title = found[1]
	}
	if found := leadOf.FindStringSubmatch(p.all); found != nil {
		p.lead = found[1]
	}
	if w.Code < http.StatusBadRequest || w.Header().Get("Content-Language") != l.Tag() {
		t.Errorf("%d in %s", w.Code, w.Header().Get("Content-Language"))
	}
	if !regexp.MustCompile(`<dd>evt_[0-9a-zA-Z]+</dd>`).MatchString(p.all) || !strings.Contains(p.all, "<dd>req_1</dd>") {
		t.Errorf("the page does not name its event and request: %s", p.all)
	}
	if !strings.Contains(p.all, `<p class="tenant"><img src="/.gatehouse/logo?v=1" alt="">Acme & Sons</p>`) {
		t.Errorf("the page does not name the organisation: %s", p.all)
	}
	return p
}

// journalled is a service that has a real journal and nothing else.
func journalled(t *testing.T) *Service {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	vault, errVault := keys.OpenDirVault(filepath.Join(dir, "keys"))
	if err = errors.Join(err, errVault); err != nil {
		t.Fatal(err)
	}
	ring := keys.NewRing(kek, vault)
	journal, err := audit.Open(audit.Options{Dir: dir, Node: "n1", Keys: ring})
	if err = errors.Join(err, ring.Create(t.Context(), "ten_acme")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Service{tenants: oneTenant{}, refusals: audit.NewRefusals(journal), log: slog.New(slog.DiscardHandler)}
}

// TestEveryRefusalIsForPeople shows the page of every reason in every language: it
// says in plain words what happened and what to do next, under the organisation's
// name and logo, by which numbers it is found, and nothing that is for the journal.
func TestEveryRefusalIsForPeople(t *testing.T) {
	s := journalled(t)
	for _, reason := range reasons(t) {
		for _, l := range words.Spoken() {
			const secret = "for the journal alone"
			p := refused(t, s, l, func(w http.ResponseWriter, r *http.Request) error {
				return s.refuse(w, r, tenants.Connection{Name: "corp"}, Refuse(reason, secret))
			})
			if wrong := plain(l, reason.lead(), p.lead); wrong != "" {
				t.Errorf("%s in %s: %q %s", reason, l.Tag(), p.lead, wrong)
			}
			if p.title != l.Say("You are not signed in") || !strings.Contains(p.all, `href="/.gatehouse/login"`) || strings.Contains(p.all, secret) {
				t.Errorf("%s in %s: %s", reason, l.Tag(), p.all)
			}
			for _, english := range []string{reason.deviceLead(), factorLead(reason)} {
				if wrong := plain(l, english, l.Say(english)); wrong != "" {
					t.Errorf("%s in %s: %q %s", reason, l.Tag(), l.Say(english), wrong)
				}
			}
			p = refused(t, s, l, func(w http.ResponseWriter, r *http.Request) error {
				return s.refuseSignOut(w, r, tenants.Connection{Name: "corp"}, Refuse(reason, secret))
			})
			if wrong := plain(l, "", p.lead); wrong != "" || !strings.Contains(p.all, `href="/.gatehouse/logout"`) || strings.Contains(p.all, secret) {
				t.Errorf("%s in %s: %q %s", reason, l.Tag(), p.lead, wrong)
			}
		}
	}
}

// TestEveryFaultOfASignInIsForPeople is the same for what the rooms below refuse a
// sign-in for, whose own sentences people read.
func TestEveryFaultOfASignInIsForPeople(t *testing.T) {
	s, found := journalled(t), 0
	for _, pattern := range []string{"../directory/signin.go", "../sessions/create.go", "../sessions/limits.go", "caller.go", "rules.go", "pages.go"} {
		for _, file := range files(t, pattern) {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				made, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || fmt.Sprint(made.X) != "fault" || made.Sel.Name != "New" && made.Sel.Name != "Wrap" {
					return true
				}
				args := call.Args
				if made.Sel.Name == "Wrap" {
					args = args[1:]
				}
				code, said := text(args[1]), text(args[2])
				if said == "" || code == "device-login-refused" {
					return true // put together elsewhere; for who works on a command line and knows tokens
				}
				found++
				for _, l := range words.Spoken() {
					values := slices.Repeat([]any{7}, strings.Count(said, "%d"))
					p := refused(t, s, l, func(w http.ResponseWriter, r *http.Request) error {
						return s.refuse(w, r, tenants.Connection{}, fault.New(fault.Denied, code, said, values...))
					})
					if wrong := plain(l, said, p.lead); wrong != "" {
						t.Errorf("%s in %s: %q %s", code, l.Tag(), p.lead, wrong)
					}
				}
				return true
			})
		}
	}
	if found < 15 {
		t.Fatalf("only %d faults found: the walk is broken", found)
	}
}
