package app

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"gatehouse/assertion"
)

//go:embed assets/app.css assets/app.js
var assetFiles embed.FS

//go:embed assets/home.html
var homeSource string

var homeTemplate = template.Must(template.New("home").Parse(homeSource))

// contentPolicy lets the page use its own files alone; connect-src covers the
// WebSocket and the event stream.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// assets serves the page's own files.
func assets() http.Handler {
	files := http.FileServerFS(assetFiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
}

// home shows a person the identity that the app received.
func (a *App) home(w http.ResponseWriter, r *http.Request) {
	claims, err := a.verifier.Request(r)
	if err != nil {
		a.log.Warn("page without a valid assertion", "error", err)
	}
	data := struct {
		Claims    assertion.Claims
		Verified  bool
		Teams     []team
		RequestID string
		Initials  string
	}{claims, err == nil, teamsOf(claims), r.Header.Get(requestIDHeader), initials(claims)}
	var body bytes.Buffer
	if err := homeTemplate.Execute(&body, data); err != nil {
		a.log.Error("render page", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	_, _ = body.WriteTo(w) // the browser may be gone
}

// team is a team with the person's roles there.
type team struct{ Name, Roles string }

func teamsOf(c assertion.Claims) []team {
	var list []team
	for name, roles := range c.Teams {
		list = append(list, team{name, strings.Join(roles, ", ")})
	}
	slices.SortFunc(list, func(a, b team) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// initials are up to two letters for the round mark beside the name.
func initials(c assertion.Claims) string {
	name := c.Name
	if name == "" {
		name = c.Email
	}
	var letters []rune
	for word := range strings.FieldsSeq(name) {
		letters = append(letters, []rune(word)[0])
	}
	if len(letters) > 2 {
		letters = []rune{letters[0], letters[len(letters)-1]}
	}
	return strings.ToUpper(string(letters))
}
