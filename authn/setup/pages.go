package setup

import (
	"cmp"
	"embed"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

//go:embed pages/*.html
var pageFiles embed.FS

var bodies = words.Parse(pageFiles, "pages/*.html")

// page answers with p under the tenant's name.
func (s *Service) page(w http.ResponseWriter, r *http.Request, p httpkit.Page, name string, data any) error {
	var err error
	if p.Body, err = bodies.Render(words.For(r), name, data); err != nil {
		return err
	}
	if t, ok := s.tenants.ByID(tenantOf(r)); ok {
		p.Tenant = t.DisplayName
	}
	httpkit.WritePage(w, r, p)
	return nil
}

// show is where a link leads to: a button first, because programs that look through
// mail open links; then the steps.
func (s *Service) show(w http.ResponseWriter, r *http.Request) error {
	if token := r.URL.Query().Get("token"); token != "" {
		return s.page(w, r, httpkit.Page{Title: "Connect your identity provider",
			Lead: "You were asked to connect your organisation's identity provider, so that your people sign in here with the accounts that they have. It takes about ten minutes. Go on in this browser: the link is good for one."},
			"welcome.html", struct{ Action, Token string }{Path + "/begin", token})
	}
	l, err := s.mine(r)
	if err != nil {
		return err
	}
	c, err := s.current(r.Context(), tenantOf(r), l)
	if err != nil {
		return err
	}
	known, query := tenants.Providers(), r.URL.Query()
	i := slices.IndexFunc(known, func(p tenants.Provider) bool { return p.ID == query.Get("provider") })
	if i < 0 && (c.ID == "" || query.Has("provider")) {
		return s.page(w, r, httpkit.Page{Title: "Which identity provider do you have?", Lead: "What to enter depends on it."}, "providers.html",
			struct {
				Path  string
				Known []tenants.Provider
			}{Path, known})
	}
	var p tenants.Provider
	if i >= 0 {
		p = known[i]
	} else {
		p = tenants.Provider{ID: string(c.Type), Title: words.For(r).Say("your provider"), Type: c.Type} // as it was entered before
	}
	return s.form(w, r, l, c, p, "")
}

// form is the page with what to enter on both sides.
func (s *Service) form(w http.ResponseWriter, r *http.Request, l Link, c tenants.Connection, p tenants.Provider, problem string) error {
	tested := false
	if c.ID != "" {
		var err error
		if tested, err = s.trials.Tested(r.Context(), tenantOf(r), c); err != nil {
			return err
		}
	}
	at := httpkit.RequestFrom(r.Context()).Origin + "/.gatehouse/" + string(p.Type) + "/" + l.Connection
	data := struct {
		Path, Problem string
		Provider      tenants.Provider
		SAML, OAuth2  bool
		Domains       string
		Groups        string
		Ours          []httpkit.Fact
		Connection    tenants.Connection
		Saved, Tested bool
		Kept          bool
	}{Path: Path, Problem: problem, Provider: p, SAML: p.Type == tenants.SAML, OAuth2: p.Type == tenants.OAuth2,
		Domains: strings.Join(c.Admits.Domains, " "), Groups: strings.Join(c.Admits.Groups, "\n"), Connection: c, Saved: c.ID != "", Tested: tested, Kept: c.HasSecret()}
	switch {
	case data.OAuth2:
		data.Ours = []httpkit.Fact{{Name: "Callback URL", Value: at + "/callback"}}
	case data.SAML:
		data.Ours = []httpkit.Fact{{Name: "Entity ID", Value: at + "/metadata"}, {Name: "ACS URL", Value: at + "/acs"}, {Name: "Single logout URL", Value: at + "/slo"}}
	default:
		data.Ours = []httpkit.Fact{{Name: "Redirect URI", Value: at + "/callback"}, {Name: "Back-channel logout URI", Value: at + "/backchannel-logout"},
			{Name: "After sign-out", Value: httpkit.RequestFrom(r.Context()).Origin + "/.gatehouse/logout"}}
	}
	if data.Connection.OIDC == nil {
		data.Connection.OIDC = &tenants.OIDCSpec{Claims: p.Names}
	}
	if data.Connection.OAuth2 == nil {
		data.Connection.OAuth2 = &tenants.OAuth2Spec{}
	}
	if data.Connection.SAML == nil {
		data.Connection.SAML = &tenants.SAMLSpec{Attributes: p.Names}
	}
	say := words.For(r)
	lead := "Enter each side's values on the other. Nobody can sign in by it before you have tried it and switched it on."
	if data.Saved {
		lead = "What you entered is kept. Now try it."
	}
	if tested {
		lead = "It works. Switch it on when you are ready."
	}
	status := http.StatusOK
	if problem != "" {
		status = http.StatusBadRequest
	}
	return s.page(w, r, httpkit.Page{Status: status, Title: say.Say("Connect %s", say.Say(p.Title)), Lead: lead}, "form.html", data)
}

// parse reads a form of ours.
func parse(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "bad-form", "What you entered cannot be read, or is too long.")
	}
	return r.PostForm, nil
}

// accept is the button of the first page.
func (s *Service) accept(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(w, r)
	if err != nil {
		return err
	}
	browser, err := s.begin(r.Context(), audit.CauseOf(r, nil), tenantOf(r), form.Get("token"))
	if err != nil {
		return err
	}
	httpkit.SetSetupCookie(w, browser, maxLife)
	return seeOther(w, Path)
}

// save keeps what was entered, switched off. A mistake is said on the page.
func (s *Service) save(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(w, r)
	if err != nil {
		return err
	}
	l, err := s.mine(r)
	if err != nil {
		return err
	}
	current, err := s.current(r.Context(), tenantOf(r), l)
	if err != nil {
		return err
	}
	if knows, err := s.knows(r.Context(), tenantOf(r), current); err != nil || knows {
		return cmp.Or[error](err, errKnown)
	}
	known := tenants.Providers()
	i := slices.IndexFunc(known, func(p tenants.Provider) bool { return p.ID == form.Get("provider") })
	if i < 0 {
		return fault.New(fault.Invalid, "bad-form", "No identity provider was chosen. Go back, and choose one.")
	}
	wanted := entered(l, current, known[i], form)
	if p := known[i]; p.Public == "domains" && len(wanted.Admits.Domains) == 0 || p.Public == "groups" && len(wanted.Admits.Groups) == 0 {
		open := "Anybody can have an account at %s: say which domains may sign in here."
		if p.Public == "groups" {
			open = "Anybody can have an account at %s: say which groups may sign in here."
		}
		return s.form(w, r, l, current, p, words.For(r).Say(open, p.Title))
	}
	kept, err := s.tenants.PutConnection(r.Context(), causeOf(r, l), tenantOf(r), wanted)
	if f := fault.As(err); err != nil && f.Kind == fault.Invalid {
		return s.form(w, r, l, current, known[i], words.For(r).Tell(f.Sentence()))
	}
	if kept.ID == "" {
		return err
	}
	// Also if not all nodes could be told: it is kept.
	if wrote := s.wrote(r.Context(), tenantOf(r), l, kept); wrote != nil {
		return wrote
	}
	return seeOther(w, Path+"?provider="+url.QueryEscape(known[i].ID))
}

// entered is the connection that a form describes, under the link's terms.
func entered(l Link, current tenants.Connection, p tenants.Provider, form url.Values) tenants.Connection {
	text := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	c := l.Terms.connection(l.Connection)
	c.Type, c.Version = p.Type, current.Version
	c.Admits = tenants.Admission{Domains: split(form.Get("allowed_domains")), Groups: lines(form.Get("allowed_groups"))}
	names := tenants.AttributeMap{Email: text("email"), Name: text("name"), Groups: text("groups")}
	if p.Type == tenants.OAuth2 {
		c.OAuth2 = &tenants.OAuth2Spec{Preset: p.Preset, ClientID: text("client_id"), ClientSecret: text("client_secret")}
		if was := current.OAuth2; c.OAuth2.ClientSecret == "" && was != nil && was.Preset == p.Preset && was.ClientID == c.OAuth2.ClientID {
			c.OAuth2.ClientSecret = was.ClientSecret
		}
		return c
	}
	if p.Type == tenants.SAML {
		source := tenants.MetadataSource{URL: text("metadata_url")}
		if source.URL == "" {
			source.XML = strings.TrimSpace(form.Get("metadata"))
		}
		c.SAML = &tenants.SAMLSpec{IDPMetadata: source, Attributes: names}
		return c
	}
	c.OIDC = &tenants.OIDCSpec{Issuer: text("issuer"), ClientID: text("client_id"), ClientSecret: text("client_secret"), Scopes: p.Scopes, Claims: names}
	if was := current.OIDC; c.OIDC.ClientSecret == "" && was != nil && was.Issuer == c.OIDC.Issuer && was.ClientID == c.OIDC.ClientID {
		c.OIDC.ClientSecret = was.ClientSecret
	}
	return c
}

// split are what a field holds between blanks and commas, lines what it holds line by
// line.
func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// test sends the browser to the provider and back. Not by a redirect: the policy of
// the page with the button would have to name the provider.
func (s *Service) test(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(w, r)
	if err != nil {
		return err
	}
	l, c, err := s.made(r)
	if err != nil {
		return err
	}
	back := Path + "?provider=" + url.QueryEscape(form.Get("provider"))
	at, _, err := s.trials.TestByLink(r.Context(), l.actor(), tenantOf(r), c, back)
	if err != nil {
		return err
	}
	httpkit.WritePage(w, r, httpkit.Page{Title: "Trying the connection", Lead: "You go on to your identity provider now, and sign in there.", RefreshTo: at,
		Links: []httpkit.Link{{Text: "Continue", Href: at}}})
	return nil
}

// made is the connection that this browser has entered.
func (s *Service) made(r *http.Request) (Link, tenants.Connection, error) {
	l, err := s.mine(r)
	if err != nil {
		return Link{}, tenants.Connection{}, err
	}
	c, err := s.current(r.Context(), tenantOf(r), l)
	if err == nil && c.ID == "" {
		err = fault.New(fault.Conflict, "nothing-entered", "Enter what your identity provider gives you first.")
	}
	return l, c, err
}

// finish switches the connection on, if it was tried as it is, and spends the link.
// Whatever sessions an earlier one of the name has left are over before (P2), and so
// is what its rules have given.
func (s *Service) finish(w http.ResponseWriter, r *http.Request) error {
	ctx, tenant := r.Context(), tenantOf(r)
	l, c, err := s.made(r)
	if err != nil {
		return err
	}
	tested, err := s.trials.Tested(ctx, tenant, c)
	if err != nil {
		return err
	}
	if !tested {
		return fault.New(fault.Conflict, "not-tested", "Try the connection first: it is switched on once somebody would have got in by it.")
	}
	cause := causeOf(r, l)
	if _, err := s.sessions.Revoke(ctx, cause, tenant, sessions.Selector{Connection: c.ID}, sessions.ReasonConnectionClosed); err != nil {
		return err
	}
	if err := s.people.DropRules(ctx, cause, tenant, c.ID, nil); err != nil {
		return err
	}
	if _, err := s.journal.Commit(ctx, l.event(cause, tenant, audit.SetupLinkFinished)); err != nil {
		return err
	}
	// The link first: one that was taken back switches nothing on.
	if err := s.remove(ctx, tenant, l.ID); err != nil {
		return err
	}
	c.Enabled = true
	if _, err := s.tenants.PutConnection(ctx, cause, tenant, c); err != nil {
		return err
	}
	httpkit.ClearCookie(w, httpkit.SetupCookie)
	return s.page(w, r, httpkit.Page{Title: "Your people can sign in now", Lead: "The connection is switched on, and this link is spent. Thank you.",
		Links: []httpkit.Link{{Text: "Sign in", Href: "/.gatehouse/login"}}}, "done.html", nil)
}

// seeOther sends the browser on by GET (RFC 9110 §15.4.4).
func seeOther(w http.ResponseWriter, target string) error {
	h := w.Header()
	h.Set("Location", target)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
