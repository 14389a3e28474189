package local

import (
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
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
	if t, ok := s.tenants.ByID(httpkit.RequestFrom(r.Context()).Tenant); ok {
		p.Tenant = t.DisplayName
	}
	httpkit.WritePage(w, r, p)
	return nil
}

// signInPage asks for a passkey, or for an address with a password.
func (s *Service) signInPage(v *visit, p problem) error {
	data := struct {
		Action, State, Problem, Options, Kept string
	}{Action: authn.PathLocal, State: v.step.Token, Problem: p.say}
	// At an address without a name there are no passkeys: there is the password still.
	if asked, err := s.factors.AskAnybody(v.ctx(), v.nobody()); err == nil {
		data.Options = string(asked.Options)
		if data.Kept, err = s.keep(v.ctx(), v.tenant(), v.step.Token, kept{For: forPasskey, Private: asked.Private}); err != nil {
			return err
		}
	}
	return s.page(v.w, v.r, httpkit.Page{Status: p.status, Title: "Sign in with a local account", Passkeys: data.Options != "", Facts: p.facts,
		Lead: "This is for those who were invited to one. Everybody else signs in with their organisation's sign-in service."}, "signin.html", data)
}

// codePage asks for what goes with a password. Who has nothing left gets no further.
func (s *Service) codePage(v *visit, a *account, p problem) error {
	held, err := s.factors.Held(v.ctx(), v.tenant(), a.user)
	if err != nil {
		return err
	}
	data := struct {
		Action, State, Problem, Kept string
		App, Recovery                bool
	}{Action: authn.PathLocal, State: v.step.Token, Problem: p.say, Recovery: held.RecoveryCodes > 0}
	for _, f := range held.Factors {
		data.App = data.App || f.Kind == authn.TOTP
	}
	if !data.App && !data.Recovery {
		missing := authn.Refuse(factorsMissing, "The password is right, and the person has nothing that goes with it: no authenticator app and no recovery code.")
		return s.turnAway(v, audit.SignInRefused, a, missing, s.signInPage)
	}
	if data.Kept, err = s.keep(v.ctx(), v.tenant(), v.step.Token, kept{For: forCode, User: a.user, Generation: a.generation, Changed: a.changed}); err != nil {
		return err
	}
	return s.page(v.w, v.r, httpkit.Page{Status: p.status, Title: "Enter your code", Lead: "With the password goes a code that only you have.", Facts: p.facts}, "code.html", data)
}

// invitedPage has somebody choose what they will sign in with.
func (s *Service) invitedPage(w http.ResponseWriter, r *http.Request, token string, i *invitation) error {
	return s.page(w, r, httpkit.Page{Title: "Set up your account", Lead: words.For(r).Say("You were invited to sign in here as %s. Choose what you will sign in with. The link is good once, and until it is used.", i.address())},
		"invited.html", struct {
			Action, Token string
			Replaces      bool
		}{PathInvitation, token, i.replaces})
}

// offerPage has them set it up.
func (s *Service) offerPage(w http.ResponseWriter, r *http.Request, token string, i *invitation, kind authn.FactorKind, again []byte, p problem) error {
	req := httpkit.RequestFrom(r.Context())
	offer, err := s.factors.OfferFirst(r.Context(), holderOf(req, &i.account), kind, again)
	if err != nil {
		return err
	}
	keeps, err := s.keep(r.Context(), req.Tenant, token, kept{For: forInvited, User: i.user, Kind: kind, Private: offer.Private})
	if err != nil {
		return err
	}
	data := struct {
		Action, Token, Problem, Address, Options, Kept, Key string
		Least                                               int
		QR, Link                                            template.URL
	}{PathInvitation, token, p.say, i.address(), string(offer.Options), keeps, offer.Key, minPassword,
		template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(offer.QR)), // #nosec G203 -- our own image
		template.URL(offer.URL)} // #nosec G203 -- made by our own code, with all values escaped
	page := httpkit.Page{Status: p.status, Title: "Add a passkey", Passkeys: true, Facts: p.facts,
		Lead: "Your browser asks for your finger, your face or a PIN. Nothing of that leaves your device."}
	name := "passkey.html"
	if kind == authn.TOTP {
		name, page.Passkeys, page.Inline, page.Title = "password.html", false, true, "Choose a password"
		page.Lead = "It counts only together with a code of an authenticator app: set up both here."
	}
	return s.page(w, r, page, name, data)
}

// donePage is the end of it, with recovery codes, if there are any, this once.
func (s *Service) donePage(w http.ResponseWriter, r *http.Request, codes []string) error {
	page := httpkit.Page{Title: "Your account is set up", Lead: "You sign in at this address from now on. Keep it: the start page may lead you elsewhere."}
	return s.page(w, r, page, "done.html", struct {
		Address, Href string
		Codes         []string
	}{httpkit.RequestFrom(r.Context()).Origin + signInPath, signInPath, codes})
}
