package httpkit

import (
	"cmp"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"crypto/sha256"
	"encoding/base64"

	"gatehouse/internal/words"
)

//go:embed page.html
var frameFile embed.FS

//go:embed page.css
var pageCSS string

// passkeyScript lets the forms of a page ask for passkeys.
//
//go:embed passkey.js
var passkeyScript string

var frame = words.Parse(frameFile, "page.html")

// stylePolicy, submitPolicy and passkeyPolicy let exactly our inline style and
// scripts through, so that a page needs no second request and no 'unsafe-inline'
// (CSP Level 3 §2.3.1).
var stylePolicy, submitPolicy, passkeyPolicy = hashOf(pageCSS), hashOf(submitScript), hashOf(passkeyScript)

func hashOf(inline string) string {
	sum := sha256.Sum256([]byte(inline))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Page is a small page of ours: sign-in steps, refusals, errors. Every page
// works without JavaScript, from the keyboard and for a screen reader, and
// follows the reader's light or dark setting. Title, Lead, the texts of links and the
// names of facts are said in the reader's language, by package words; what is put
// together, and the Body, its room has to say so itself.
type Page struct {
	Status int
	Title  string
	// Lead is the first sentence: what happened and what to do next.
	Lead string
	// Tenant is the name shown above the title; empty: that of whose host it is, if
	// known.
	Tenant string
	// Notice is something else that the person should know and look at, if set.
	Notice Link
	// Body is further content, made by an html/template of the calling room.
	Body template.HTML
	// Links are the ways on from here; the first is shown as the main one, unless
	// there is something to do in the Body.
	Links []Link
	// Facts are small print: event id, request id.
	Facts []Fact
	// FormAction lists further origins that a form on the page may be sent to
	// or be redirected to (CSP form-action); empty means this origin alone.
	FormAction []string
	// FramedBy is the one origin whose pages may show this one in a frame; empty
	// means none.
	FramedBy string
	// RefreshTo, if set, is where a browser is sent at once (SAML POST pages
	// use a form instead).
	RefreshTo string
	// Inline lets images through that stand in the Body itself (data: URLs).
	Inline bool
	// Submit sends the first form of the Body at once, where scripts run; elsewhere
	// its button does.
	Submit bool
	// Passkeys has the forms of the Body with data-passkey ("create" or "get") ask the
	// browser for a passkey, by their data-options (JSON), and send its answer as
	// credential. They have a button, and an element with data-problem for what went
	// wrong. Without scripts they do nothing: the Body says what to do then.
	Passkeys bool
}

// submitScript sends a form.
const submitScript = "document.forms[0].submit()"

// Link is one way on from a page.
type Link struct{ Text, Href string }

// Fact is one line of small print.
type Fact struct{ Name, Value string }

// in says what the frame shows in a language.
func (p *Page) in(l *words.Language) {
	p.Title, p.Lead, p.Notice.Text = l.Say(p.Title), l.Say(p.Lead), l.Say(p.Notice.Text)
	p.Links, p.Facts = slices.Clone(p.Links), slices.Clone(p.Facts) // a page may be shared
	for i := range p.Links {
		p.Links[i].Text = l.Say(p.Links[i].Text)
	}
	for i := range p.Facts {
		p.Facts[i].Name = l.Say(p.Facts[i].Name)
	}
}

// WritePage answers with a page, in the language of whoever sent r and under a strict
// content security policy.
func WritePage(w http.ResponseWriter, r *http.Request, p Page) {
	language := words.For(r)
	p.in(language)
	data := struct {
		Page
		Language string
		CSS      template.CSS
		Script   template.JS
		Logo     string
	}{Language: language.Tag(), CSS: template.CSS(pageCSS)} // #nosec G203 -- our own embedded file
	if passed, ok := r.Context().Value(requestKey{}).(*Request); ok {
		p.Tenant = cmp.Or(p.Tenant, passed.TenantTitle, passed.TenantName)
		data.Logo = passed.TenantLogo
	}
	data.Page = p
	script := ""
	switch {
	case p.Passkeys:
		script, data.Script = "script-src "+passkeyPolicy+"; ", template.JS(passkeyScript) // #nosec G203 -- our own embedded file
	case p.Submit:
		script, data.Script = "script-src "+submitPolicy+"; ", template.JS(submitScript) // #nosec G203 -- our own constant
	}
	body, err := frame.Render(language, "page.html", data)
	if err != nil {
		slog.Error("render page", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	images := "'self'"
	if p.Inline {
		images += " data:"
	}
	formAction := "'self'"
	for _, origin := range p.FormAction {
		formAction += " " + origin
	}
	h := w.Header()
	ancestors := p.FramedBy
	if ancestors == "" {
		ancestors = "'none'"
		h.Set("X-Frame-Options", "DENY")
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", language.Tag())
	h.Add("Vary", "Accept-Language")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+stylePolicy+"; "+script+"img-src "+images+"; form-action "+formAction+"; frame-ancestors "+ancestors+"; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if p.Status == 0 {
		p.Status = http.StatusOK
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write([]byte(body)) // #nosec G705 -- html/template escaped it; the browser may be gone; nothing is left to tell it
}
