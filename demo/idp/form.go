package idp

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed form.html
var formSource string

//go:embed form.css
var formCSS string

var formTemplate = template.Must(template.New("form").Parse(formSource))

// contentPolicy has no form-action: browsers apply it to the redirects after a
// form too, and those lead to the gate.
var contentPolicy = func() string {
	sum := sha256.Sum256([]byte(formCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
}()

// Form is the sign-in page.
type Form struct {
	Provider string            // the heading: whose sign-in it is
	Action   string            // where the form is sent
	Hidden   map[string]string // the protocol's own fields
	Username string            // what was typed before
	Refused  bool              // what was typed before was wrong
	Accounts Accounts          // shown as hints: it is a demo
}

// Write answers with the form; a refused attempt gets status 401.
func Write(w http.ResponseWriter, form Form) error {
	var body bytes.Buffer
	data := struct {
		Form
		CSS template.CSS
	}{form, template.CSS(formCSS)} // #nosec G203 -- our own embedded file
	if err := formTemplate.Execute(&body, data); err != nil {
		return fmt.Errorf("sign-in form: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if form.Refused {
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, _ = body.WriteTo(w) // the browser may be gone
	return nil
}
