package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gatehouse/authn/saml/simplesamltest"
)

// TestBrowserSignsInByAForm is a provider that takes requests in forms alone, in a
// browser that keeps to the page's policy: with scripts, and without.
func TestBrowserSignsInByAForm(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium and npm's axe-core")
	}
	d := inProcess(t)
	info := d.Info()
	acme := info.Tenants["acme"]
	provider := simplesamltest.Start(t, gil)
	provider.Set(t, simplesamltest.Settings{Forms: true})
	var described []byte
	for deadline := time.Now().Add(patience); ; { // PHP may go by its settings of before for a moment
		_, described = get(t, http.DefaultClient, provider.MetadataURL())
		if strings.Contains(string(described), `SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the provider takes no forms: %s", described)
		}
	}
	connect(t, d, provider, map[string]any{"idp_metadata": map[string]string{"url": provider.MetadataURL()}, "sign_requests": true})
	b := chromium(t, info)
	in := func(p *tab) {
		p.see(`//input[@name="username"]`)
		p.do("sign in", typeInto(`//input[@name="username"]`, gil.Name), typeInto(`//input[@name="password"]`, gil.Password))
	}
	p := b.profile(desktopChrome, desk)
	p.open(acme.URL + ".gatehouse/login?connection=simple")
	in(p)
	p.do("send it", chromedp.Click(`//*[@id="submit_button"]`))
	seesIdentity(p, "acme", gil.Email)

	// Without scripts there is a button.
	p = b.profile(desktopChrome, desk)
	p.do("switch scripts off", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	p.open(acme.URL + ".gatehouse/login?connection=simple")
	p.see(`//button[text()="Continue"]`)
	p.do("go on", chromedp.Click(`//button[text()="Continue"]`)) // no script can say when the page has come to rest
	p.see(`//input[@name="username"]`)

	// A provider may answer by sending people on to another host of its.
	elsewhere := httptest.NewServer(http.RedirectHandler(info.Tenants["globex"].URL+".gatehouse/login?connection=nowhere", http.StatusSeeOther))
	t.Cleanup(elsewhere.Close)
	asAdmin(t, gilsBrowser(t, d), acme, http.MethodPut, "connections/elsewhere", sending(t, described, elsewhere.URL))
	p = b.profile(desktopChrome, desk)
	p.open(acme.URL + ".gatehouse/login?connection=elsewhere")
	p.see(`//*[contains(text(), "Globex")]`)

	// The page itself, where the provider's answer leads nowhere.
	sent := make(chan string, 1)
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case sent <- r.PostFormValue("SAMLRequest"):
		default:
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(silent.Close)
	asAdmin(t, gilsBrowser(t, d), acme, http.MethodPut, "connections/silent", sending(t, described, silent.URL))
	p = b.profile(desktopChrome, desk)
	p.reads("de-AT")
	p.open(strings.TrimSuffix(acme.URL, "/") + "/.gatehouse/login?connection=silent")
	p.see(`//html[@lang="de"]//h1[text()="Anmeldung"]`)
	p.see(`//button[text()="Weiter"]`)
	p.look("de-saml-onward", desk, pocket)
	select {
	case request := <-sent:
		if text, err := base64.StdEncoding.DecodeString(request); err != nil || !strings.Contains(string(text), "AuthnRequest") {
			t.Errorf("sent %s: %v", text, err)
		}
	case <-time.After(patience):
		t.Error("the form was not sent by itself")
	}
}

// sending is a connection to a provider that is described so, with forms for another
// address.
func sending(t *testing.T, described []byte, at string) string {
	t.Helper()
	const service = `SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="`
	before, rest, _ := strings.Cut(string(described), service)
	_, after, _ := strings.Cut(rest, `"`)
	body, err := json.Marshal(map[string]any{"type": "saml", "idp_metadata": map[string]string{"xml": before + service + at + `"` + after}})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
