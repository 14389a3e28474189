package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"gatehouse/authn/saml/simplesamltest"
	"gatehouse/demo"
	"gatehouse/demo/browse"
)

// gil is somebody whom SimpleSAMLphp knows.
var gil = simplesamltest.User{Name: "gil", Password: "hunter2", Email: "gil@acme.example"}

// simpleSAML has acme trust a real identity provider, and it acme.
func simpleSAML(t *testing.T, d *demo.Demo) *simplesamltest.Provider {
	t.Helper()
	p := simplesamltest.Start(t, gil)
	trust(t, d, p, map[string]string{"url": p.MetadataURL()})
	return p
}

// trust makes the connection by metadata of the provider's, and the provider
// know it.
func trust(t *testing.T, d *demo.Demo, p *simplesamltest.Provider, metadata map[string]string) {
	t.Helper()
	connect(t, d, p, map[string]any{"idp_metadata": metadata})
}

// connect is the same with more settings.
func connect(t *testing.T, d *demo.Demo, p *simplesamltest.Provider, settings map[string]any) {
	t.Helper()
	acme := d.Info().Tenants["acme"]
	client, err := d.Info().Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for name, value := range map[string]any{"type": "saml", "attributes": map[string]string{"email": "mail", "name": "displayName"}, "default_role": "viewer"} {
		settings[name] = value
	}
	spec, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	resp, text := do(t, client, request(t, http.MethodPut, acme.URL+".gatehouse/api/v1/connections/simple",
		string(spec), "Authorization", "Bearer "+acme.APIToken))
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	resp, text = get(t, client, acme.URL+".gatehouse/saml/simple/metadata")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	p.Trust(t, text)
}

// gilsBrowser is a browser of gil's.
func gilsBrowser(t *testing.T, d *demo.Demo) *http.Client {
	t.Helper()
	client, err := d.Info().Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// visit signs in by SimpleSAMLphp and gives the page that comes of it.
func visit(t *testing.T, d *demo.Demo, client *http.Client, password string) (address *url.URL, text string) {
	t.Helper()
	acme := d.Info().Tenants["acme"]
	resp, err := browse.SignIn(t.Context(), client, acme.URL+".gatehouse/login?connection=simple&return_to=/api/whoami", gil.Name, password)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Request.URL, read(t, resp)
}

func TestP2_SingleLogoutWithSimpleSAMLphp(t *testing.T) {
	d := inProcess(t)
	provider := simpleSAML(t, d)
	acme := d.Info().Tenants["acme"]
	here, elsewhere := gilsBrowser(t, d), gilsBrowser(t, d)
	for _, client := range []*http.Client{here, elsewhere} {
		if at, text := visit(t, d, client, gil.Password); at.Path != "/api/whoami" || !strings.Contains(text, gil.Email) {
			t.Fatalf("the sign-in ended at %s: %s", at, text)
		}
	}
	stream, other := openEvents(t, here, acme.URL+"events"), openEvents(t, elsewhere, acme.URL+"events")
	stream.await(t, "data")
	other.await(t, "data")
	plain := plainClient(t, d.Info(), 1)
	socket := door{acme.URL, cookieOf(here, acme.URL)}.webSocket(t, plain)
	otherSocket := door{acme.URL, cookieOf(elsewhere, acme.URL)}.webSocket(t, plain)

	t.Run("begun at the provider", func(t *testing.T) {
		resp, text := get(t, here, provider.SignOutURL())
		if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/logout.php" {
			t.Fatalf("the sign-out ended at %s: %s %s", resp.Request.URL, resp.Status, text)
		}
		stream.ends(t)
		socket.closed(t)
		if resp, _ := get(t, here, acme.URL+"api/whoami"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("after signing out at the provider: %s", resp.Status)
		}
		other.await(t, "data") // another session of the provider's
		otherSocket.alive(t)
	})

	t.Run("begun here", func(t *testing.T) {
		// The page's form, the way to the provider and back.
		resp, err := browse.SignIn(t.Context(), elsewhere, acme.URL+".gatehouse/logout", "", "")
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, resp); resp.Request.URL.Path != "/.gatehouse/saml/simple/slo" || resp.StatusCode != http.StatusOK ||
			!strings.Contains(text, "You are signed out") || !strings.Contains(text, "Close the browser window") {
			t.Fatalf("the sign-out ended at %s: %s %s", resp.Request.URL, resp.Status, text)
		}
		other.ends(t)
		otherSocket.closed(t)
		if at, text := visit(t, d, elsewhere, "wrong"); !strings.HasPrefix(at.String(), provider.URL) {
			t.Errorf("the provider did not ask for the password: %s: %s", at, text)
		}
		said := journalled(t, d, "signout.at_provider")
		if len(said) != 1 || said[0].Outcome != "success" {
			t.Errorf("recorded as %+v", said)
		}
	})
}

// TestBrowserSingleLogout signs out in a real browser, which keeps to the pages'
// policies: by redirect, and at a provider that takes forms alone.
func TestBrowserSingleLogout(t *testing.T) {
	d := inProcess(t)
	provider := simpleSAML(t, d)
	acme := d.Info().Tenants["acme"]
	b := chromium(t, d.Info())
	_, described := get(t, http.DefaultClient, provider.MetadataURL())
	redirect := regexp.MustCompile(`<md:SingleLogoutService [^>]*HTTP-Redirect[^>]*>`)
	for _, binding := range []string{"redirect", "form"} {
		if binding == "form" {
			if !redirect.Match(described) {
				t.Fatalf("the provider takes no redirects: %s", described)
			}
			trust(t, d, provider, map[string]string{"xml": string(redirect.ReplaceAll(described, nil))})
		}
		p := b.profile(desktopChrome, desk)
		p.open(acme.URL + ".gatehouse/login?connection=simple")
		p.see(`//input[@name="username"]`)
		p.do("sign in", typeInto(`//input[@name="username"]`, gil.Name), typeInto(`//input[@name="password"]`, gil.Password),
			chromedp.Click(`//*[@id="submit_button"]`))
		seesIdentity(p, "acme", gil.Email)
		p.open(acme.URL + ".gatehouse/logout")
		p.click(`//button[text()="Sign out"]`)
		p.see(`//h1[text()="You are signed out"]`)
		if at := script[string](p, "location.pathname"); at != "/.gatehouse/saml/simple/slo" {
			t.Errorf("by %s: the sign-out ended at %s", binding, at)
		}
	}
	if said := journalled(t, d, "signout.at_provider"); len(said) == 0 || said[0].Outcome != "success" {
		t.Errorf("recorded as %+v", said)
	}
}

// TestSimpleSAMLphpEncryptsAndRotates signs in at a provider that encrypts by AES-CBC
// and changes its key: with both published for a while, and without.
func TestSimpleSAMLphpEncryptsAndRotates(t *testing.T) {
	d := inProcess(t)
	p := simplesamltest.Start(t, gil)
	p.Set(t, simplesamltest.Settings{Encrypts: true})
	settings := map[string]any{"idp_metadata": map[string]string{"url": p.MetadataURL()}, "encryption": "required", "signed": "both", "sign_requests": true,
		"force_authn": true, "requested_authn_context": []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:Password"}, "name_id_format": "persistent"}
	connect(t, d, p, settings)
	attempt := func() (in bool, text string) {
		at, text := visit(t, d, gilsBrowser(t, d), gil.Password)
		return at.Path == "/api/whoami" && strings.Contains(text, gil.Email), text
	}
	last := func() string {
		all := journalled(t, d, "signin.refused")
		if len(all) == 0 {
			return ""
		}
		return all[0].Reason
	}
	if in, text := attempt(); in || last() != "wrong-algorithm" {
		t.Fatalf("AES-CBC that is not allowed: %s %s", last(), text)
	}
	settings["allow_cbc"] = true
	connect(t, d, p, settings)
	if in, text := attempt(); !in {
		t.Fatalf("encrypted: %s %s", last(), text)
	}
	// Both are published: the connection has heard of the next when it comes.
	p.Set(t, simplesamltest.Settings{Encrypts: true, Next: "next"})
	connect(t, d, p, settings) // has the metadata read anew
	if in, text := attempt(); !in {
		t.Fatalf("while both are published: %s %s", last(), text)
	}
	p.Set(t, simplesamltest.Settings{Encrypts: true, Signs: "next", Shows: "next"})
	if in, text := attempt(); !in {
		t.Fatalf("by the next key: %s %s", last(), text)
	}
	// Only one is published, and another signs all of a sudden: it is read anew by itself.
	p.Set(t, simplesamltest.Settings{Encrypts: true, Signs: "next", Shows: "next"})
	connect(t, d, p, settings)
	if in, text := attempt(); !in {
		t.Fatalf("the next key alone: %s %s", last(), text)
	}
	p.Set(t, simplesamltest.Settings{Encrypts: true})
	for deadline := time.Now().Add(patience); ; {
		in, text := attempt()
		if in {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("back to the first key: %s %s", last(), text)
		}
	}
	// What the key that is not published any more signs is refused.
	p.Set(t, simplesamltest.Settings{Encrypts: true, Signs: "next"})
	for deadline := time.Now().Add(patience); ; { // PHP may go by its settings of before for a moment
		in, text := attempt()
		if !in {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("signed by a key that was taken back: %s", text)
		}
	}
}

// outcome is what a record says came of something.
type outcome struct{ Outcome, Reason string }

// journalled are acme's records of a type, once the index holds them.
func journalled(t *testing.T, d *demo.Demo, kind string) []outcome {
	t.Helper()
	acme := d.Info().Tenants["acme"]
	client := gilsBrowser(t, d)
	for deadline := time.Now().Add(patience); ; {
		resp, text := get(t, client, acme.URL+".gatehouse/api/v1/audit/events?type="+kind, "Authorization", "Bearer "+acme.APIToken)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, text)
		}
		if found := decode[struct{ Items []outcome }](t, text); len(found.Items) > 0 || time.Now().After(deadline) {
			return found.Items
		}
	}
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
