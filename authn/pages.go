package authn

import (
	"embed"
	"html/template"
	"net/http"
	"slices"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

//go:embed pages/*.html
var pageFiles embed.FS

// pageBodies are the bodies of our pages; httpkit puts the frame around them.
var pageBodies = words.Parse(pageFiles, "pages/*.html")

// page answers with p under the tenant's name.
func (s *Service) page(w http.ResponseWriter, r *http.Request, p httpkit.Page) {
	if t, ok := s.tenants.ByID(tenantOf(r)); ok {
		p.Tenant = t.DisplayName
	}
	httpkit.WritePage(w, r, p)
}

// body renders one of our templates, in the language of whoever sent r.
func body(r *http.Request, name string, data any) (template.HTML, error) {
	return pageBodies.Render(words.For(r), name, data)
}

// choose shows the ways to sign in, and asks for an address where one would tell.
func (s *Service) choose(w http.ResponseWriter, r *http.Request, open []tenants.Connection, wish wish, problem string) error {
	if len(open) == 0 {
		s.page(w, r, httpkit.Page{Status: http.StatusNotFound, Title: "Nobody can sign in here yet",
			Lead: "No sign-in service is connected. An administrator has to add a connection first."})
		return nil
	}
	domains, err := s.tenants.Domains(r.Context(), tenantOf(r))
	if err != nil {
		return err
	}
	type choice struct{ Name, Href string }
	data := struct {
		Action, ReturnTo, Problem string
		ByEmail, Fresh            bool
		Choices                   []choice
	}{Action: pathLogin, ReturnTo: wish.returnTo, Fresh: wish.fresh, Problem: problem,
		ByEmail: slices.ContainsFunc(domains, tenants.Domain.Verified)}
	for _, c := range open {
		data.Choices = append(data.Choices, choice{c.Title(), loginURL(c.Name, wish.returnTo, wish.fresh)})
	}
	content, err := body(r, "choose.html", data)
	if err != nil {
		return err
	}
	lead := "Choose how you sign in."
	if data.ByEmail {
		lead = "Enter your work email address, or choose how you sign in."
	}
	s.page(w, r, httpkit.Page{Title: "Sign in", Lead: lead, Body: content})
	return nil
}

// refuseCrossOrigin answers a form that another site sent here.
func refuseCrossOrigin(http.ResponseWriter, *http.Request) error {
	return fault.New(fault.Denied, "cross-origin", "This form was sent from another site. Open the page here and try again.")
}
