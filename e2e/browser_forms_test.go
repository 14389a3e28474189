package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"gatehouse/api/resources"
	"gatehouse/demo"
	"gatehouse/tenants"
)

// admin is an owner at the console's page of connections, and the API beside it.
type admin struct {
	*tab

	info demo.Info
	page string
}

func newAdmin(t *testing.T) *admin {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	info := inProcess(t).Info()
	a := &admin{chromium(t, info).profile(desktopChrome, desk), info, info.Tenants["acme"].URL + consolePath + "connections"}
	a.open(a.page)
	a.signIn(info, "acme", owner)
	a.see(`//h1[text()="Connections"]`)
	return a
}

// call asks the API as a program does.
func (a *admin) call(method, path string, body any) []byte {
	a.t.Helper()
	client, err := a.info.Client()
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	of := a.info.Tenants["acme"]
	resp, answer := do(a.t, client, request(a.t, method, of.URL+apiPath+path, string(raw), "Authorization", "Bearer "+of.APIToken))
	if resp.StatusCode >= http.StatusBadRequest {
		a.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer
}

// kept is a connection as the API gives it.
type kept struct {
	Spec      map[string]any `json:"spec"`
	HasSecret bool           `json:"has_client_secret"`
	Guarded   bool           `json:"has_signals_authorization"`
}

func (a *admin) kept(name string) kept {
	a.t.Helper()
	return decode[kept](a.t, a.call(http.MethodGet, "connections/"+name, nil))
}

// change opens the form of a connection with everything in it.
func (a *admin) change(name string) {
	a.t.Helper()
	a.open(a.page)
	a.click(`//button[@aria-label="Change ` + name + `"]`)
	a.see(dialog + `//input[@data-path="name"]`)
	a.unfold()
}

// unfold opens all that stands under "Advanced".
func (a *admin) unfold() {
	a.t.Helper()
	a.see(dialog + `//h3[text()="Advanced"]`)
	script[any](a.tab, `(async () => {
		for (let closed; closed = document.querySelector('[role="dialog"] h4 button[aria-expanded="false"]');) {
			closed.click();
			await new Promise(requestAnimationFrame);
		}
	})().then(() => null)`)
}

// save presses Save, and waits until the form has gone.
func (a *admin) save() {
	a.t.Helper()
	a.press("Save")
	a.gone(dialog)
}

// press presses a button by the keyboard.
func (a *admin) press(name string) {
	a.t.Helper()
	path := dialog + `//button[normalize-space()="` + name + `"]`
	a.see(path)
	quoted, _ := json.Marshal(path)
	a.focus(name, `document.evaluate(`+string(quoted)+`, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue`)
	a.do("press "+name, pressEnter)
}

// pressEnter is the key as a keyboard sends it: what is prevented when it goes down
// does not come as a character as well.
var pressEnter = chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
	key := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", Text: kb.Enter, WindowsVirtualKeyCode: 13}
	if _, err := cdp.Call(ctx, target, input.DispatchKeyEvent, key); err != nil {
		return err
	}
	key.Type, key.Text = input.DispatchKeyEventTypeKeyUp, ""
	_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, key)
	return err
})

// enter types into a field.
func (a *admin) enter(path, keys string) {
	a.t.Helper()
	quoted, _ := json.Marshal(path)
	a.focus(path, `(found => found && (found.matches("input, textarea, select") ? found : found.querySelector('input:not([type="hidden"]):not([type="file"]), textarea, select')))(
		document.querySelector('[data-path="' + CSS.escape(`+string(quoted)+`) + '"]'))`)
	a.keys("type into "+path, keys)
}

// focus puts the keyboard into what JavaScript finds.
func (a *admin) focus(what, found string) {
	a.t.Helper()
	for since := time.Now(); !script[bool](a.tab, `(async () => {
		const at = `+found+`;
		if (!at || !at.checkVisibility()) return false;
		at.focus();
		await new Promise(requestAnimationFrame);
		return document.activeElement === at;
	})()`); {
		if time.Since(since) > patience {
			a.t.Fatalf("the keyboard cannot be put into %s\n%s", what, a.where())
		}
	}
}

// keys types: what is printed at once, and every other key by itself.
func (a *admin) keys(what, keys string) {
	a.t.Helper()
	for keys != "" {
		end := strings.IndexFunc(keys, func(r rune) bool { return r < ' ' || r > '~' })
		switch {
		case end < 0:
			end = len(keys)
		case end == 0:
			_, end = utf8.DecodeRuneInString(keys)
		}
		some := keys[:end]
		keys = keys[end:]
		switch {
		case some == kb.Enter:
			a.do(what, pressEnter)
			continue
		case end <= 1 || some[0] > '~':
			a.do(what, chromedp.KeyEvent(some))
			continue
		}
		a.do(what, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, input.InsertText, input.InsertTextParams{Text: some})
			return err
		}))
	}
}

// focused is the field that the keyboard is in.
func (a *admin) focused() string {
	a.t.Helper()
	return script[string](a.tab, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(document.activeElement.closest("[data-path]")?.dataset.path ?? ""))))`)
}

// shown is what the form's fields show, by their paths.
func (a *admin) shown() map[string]any {
	a.t.Helper()
	return script[map[string]any](a.tab, `(() => {
		const shown = {};
		for (const at of document.querySelectorAll('[role="dialog"] [data-path]')) {
			const own = e => e.closest("[data-path]") === at;
			const inputs = [at, ...at.querySelectorAll("*")].filter(e => own(e) && e.matches("input, textarea, select") && !["hidden", "file"].includes(e.type));
			const tags = [...at.querySelectorAll(".mantine-TagsInput-pill")].filter(own).map(e => e.textContent);
			const boxes = inputs.filter(e => e.type === "checkbox");
			shown[at.dataset.path] = tags.length > 0 ? tags : boxes.length > 1 ? boxes.filter(e => e.checked).map(e => e.value)
				: boxes.length === 1 ? boxes[0].checked : inputs.length > 0 ? inputs[0].value : at.textContent;
		}
		return shown;
	})()`)
}

// whole are connections that set everything that their type can have; what
// excludes each other stands in several.
func whole() map[string]resources.ConnectionSpec {
	off := false
	rules := []resources.GroupRuleSpec{{Claim: "department", Values: []string{"Finance, EU", "Tax"}, Group: "finance"}, {Claim: "site", Values: []string{"CN=Graz,OU=Sites"}, Group: "graz"}}
	general := resources.ConnectionSpec{Enabled: &off, DisplayName: "Corp", DefaultRole: "member", Link: tenants.LinkByExternalID, UnknownPeople: tenants.RefuseUnknown,
		AllowedDomains: []string{"corp.example", "corp.test"}, AllowedGroups: []string{"CN=App Users,OU=Groups"}, GroupRules: rules,
		Signals: &resources.SignalsSpec{Issuer: "https://mdm.example", JWKSURL: "https://mdm.example/keys", Audience: "gatehouse", Authorization: "hidden-header"}}
	polled := *general.Signals
	polled.Authorization, polled.Poll = "", &resources.SignalsPollSpec{Endpoint: "https://mdm.example/poll", Token: "hidden-token"}

	oidc := general
	oidc.Type, oidc.Issuer, oidc.ClientID, oidc.ClientSecret = tenants.OIDC, "https://login.microsoftonline.com/organizations/v2.0", "client", "hidden-secret"
	oidc.Scopes, oidc.ACRValues, oidc.Prompt = []string{"openid", "email"}, []string{"urn:gold", "silver"}, []string{"login", "consent"}
	oidc.Claims, oidc.ClientAuth = &resources.NamesMap{Email: "mail", Name: "full_name", Groups: "roles"}, tenants.ClientSecretPost
	oidc.MaxAge, oidc.Recheck, oidc.RecheckGrace = tenants.Duration(12*time.Hour), tenants.Duration(time.Hour), tenants.Duration(36*time.Hour)
	oidc.EntraTenants, oidc.GroupsURL = []string{"72f988bf-86f1-41af-91ab-2d7cd011db47"}, "https://graph.example/groups"

	saml := general
	saml.Type, saml.IDPMetadata = tenants.SAML, &resources.Metadata{URL: "https://idp.example/metadata", Fingerprint: strings.Repeat("0a", 32)}
	saml.Attributes, saml.IDPInitiated, saml.Signed, saml.Encryption = &resources.NamesMap{Email: "mail", Name: "cn", Groups: "memberOf"}, true, tenants.SignedBoth, tenants.EncryptionRequired
	saml.AllowSHA1, saml.AllowCBC, saml.ClockSkew, saml.SignRequests, saml.ForceAuthn = true, true, 90, true, true
	saml.Binding = tenants.RequestPost
	saml.AuthnContexts, saml.NameIDFormat = []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:X509"}, tenants.NameIDPersistent
	pasted := saml
	pasted.IDPMetadata, pasted.Signals = &resources.Metadata{XML: "<EntityDescriptor\r\n  xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\"/>\n"}, &polled

	oidc.Anybody = true

	oauth2 := general
	oauth2.Anybody = true
	oauth2.Type, oauth2.ClientID, oauth2.ClientSecret, oauth2.ClientAuth, oauth2.PKCE, oauth2.Scopes = tenants.OAuth2, "client", "hidden-secret", tenants.ClientSecretPost, "none", []string{"user", "team"}
	oauth2.AuthorizationURL, oauth2.TokenURL, oauth2.UserinfoURL = "https://hub.example/authorize?x=1", "https://hub.example/token", "https://hub.example/me"
	oauth2.RevocationURL, oauth2.Issuer, oauth2.Signals = "https://hub.example/revoke", "https://hub.example", &polled
	oauth2.Claims = &resources.NamesMap{Subject: "data.id", Email: "data.mail", EmailVerified: "data.ok", Name: "data.name", Groups: "data.teams"}
	listed := oauth2
	listed.Preset, listed.Claims, listed.EmailsURL, listed.Signals = "github", &resources.NamesMap{Subject: "id"}, "https://hub.example/emails", general.Signals
	listed.GroupsFrom = []resources.GroupSourceSpec{{URL: "https://hub.example/orgs", Name: []string{"login"}}, {URL: "https://hub.example/teams", Name: []string{"slug", "organization.login"}}}
	fetched := oidc
	fetched.Signals = &polled
	return map[string]resources.ConnectionSpec{"oidc-whole": oidc, "oidc-polled": fetched, "saml-whole": saml, "saml-pasted": pasted, "oauth2-whole": oauth2, "oauth2-listed": listed}
}

// leaves are the single values of a spec, by their paths.
func leaves(at string, v any, into map[string]any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			leaves(strings.TrimPrefix(at+"."+name, "."), member, into)
		}
		return into
	case []any:
		if _, rows := v[0].(map[string]any); rows {
			for i, row := range v {
				leaves(at+"["+string(rune('0'+i))+"]", row, into)
			}
			return into
		}
	}
	into[at] = v
	return into
}

// paths are those of all fields that a type of connection can have, by the API's
// own declaration.
func paths(at string, of reflect.Type, kind tenants.ConnectionType) (all []string) {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch {
	case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
		return paths(at+"[0]", of.Elem(), kind)
	case of.Kind() != reflect.Struct:
		return []string{at}
	}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		types := field.Tag.Get("of")
		oauth2 := of == reflect.TypeFor[resources.NamesMap]() && (name == "subject" || name == "email_verified") && kind != tenants.OAuth2
		if name == "-" || oauth2 || types != "" && !slices.Contains(strings.Split(types, ","), string(kind)) {
			continue
		}
		all = append(all, paths(strings.TrimPrefix(at+"."+name, "."), field.Type, kind)...)
	}
	return all
}

// secretPath are fields whose values are never shown.
var secretPath = regexp.MustCompile(`secret$|authorization$|token$`)

// TestBrowserEveryFieldOfAConnectionHasAPlace puts connections that have everything,
// as apply does, and finds every field of the API in the form, with its value; saving
// the form without a change changes nothing.
func TestBrowserEveryFieldOfAConnectionHasAPlace(t *testing.T) {
	a := newAdmin(t)
	seen := map[tenants.ConnectionType][]string{}
	for name, spec := range whole() {
		a.call(http.MethodPut, "connections/"+name, spec)
		before := a.kept(name)
		a.change(name)
		raw, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		shown := a.shown()
		for path, want := range leaves("", decode[map[string]any](t, raw), map[string]any{}) {
			got, there := shown[path]
			switch {
			case !there:
				t.Errorf("%s: the form has no place for %s", name, path)
				continue
			case secretPath.MatchString(path):
				want = ""
			case path == "type":
				want = map[tenants.ConnectionType]string{tenants.OIDC: "Protocol: OpenID Connect", tenants.SAML: "Protocol: SAML 2.0", tenants.OAuth2: "Protocol: OAuth 2.0"}[spec.Type]
			case path == "clock_skew_seconds":
				want = "90 s"
			case path == "idp_metadata.xml":
				want = strings.ReplaceAll(spec.IDPMetadata.XML, "\r\n", "\n") // as a text field shows it
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s shows %q, want %q", name, path, got, want)
			}
			seen[spec.Type] = append(seen[spec.Type], path)
		}
		if strings.HasSuffix(name, "-whole") {
			a.look("console-"+name, desk, pocket)
			a.become(desktopChrome, desk)
		}
		a.save()
		if after := a.kept(name); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: saved without a change, it is\n%v, and was\n%v", name, after, before)
		}
	}
	for kind, found := range seen {
		for _, path := range paths("", reflect.TypeFor[resources.ConnectionSpec](), kind) {
			if !slices.Contains(found, path) {
				t.Errorf("%s of %s is in no connection of this test, so it may have no place in the console's form (console/app/src/parts/connection)", path, kind)
			}
		}
	}
}

// begin opens the form of a new connection at a provider, by the keyboard.
func (a *admin) begin(provider string) {
	a.t.Helper()
	a.open(a.page)
	button := `//button[normalize-space()="Connect a provider"]`
	a.see(button)
	a.do("begin", chromedp.Focus(button), pressEnter)
	choice := dialog + `//input[@aria-haspopup="listbox"]`
	a.see(choice)
	a.do("search "+provider, chromedp.Focus(choice), chromedp.KeyEvent(provider))
	a.see(`//*[@role="option" and normalize-space()="` + provider + `"]`)
	a.do("choose it", chromedp.KeyEvent(kb.ArrowDown), pressEnter)
	a.see(dialog + `//input[@data-path="name"]`)
	a.unfold()
}

// named empties the name that a provider suggests, and enters another.
func (a *admin) named(name string) {
	a.t.Helper()
	a.enter("name", kb.End+strings.Repeat(kb.Backspace, 20)+name)
}

// made is the connection as it was typed, or the test fails.
func (a *admin) made(name, want string) {
	a.t.Helper()
	if got, wanted := a.kept(name).Spec, decode[map[string]any](a.t, []byte(want)); !reflect.DeepEqual(got, wanted) {
		a.t.Errorf("%s is\n%v, and typed was\n%v", name, got, wanted)
	}
}

const down, enterKey = kb.ArrowDown, kb.Enter

// TestBrowserConnectionForms makes a connection of each type by the keyboard, with
// what stands under "Advanced", and changes one.
func TestBrowserConnectionForms(t *testing.T) {
	a := newAdmin(t)
	a.makeOIDC()
	a.makeSAML()
	a.makeOAuth2()
	a.changeTrust()
}

func (a *admin) makeOIDC() {
	a.t.Helper()
	a.begin("Keycloak")
	a.named("kc")
	a.press("Save")
	if at := a.focused(); at != "issuer" {
		a.t.Errorf("what is missing first is the issuer, and the keyboard is in %q", at)
	}
	a.see(dialog + `//*[@data-path="issuer"]//*[contains(@class, "error")]`)
	a.enter("issuer", "https://kc.example/realms/corp")
	a.enter("client_id", "gate")
	a.enter("client_auth", down+down+down)
	a.see(dialog + `//code[contains(text(), "/.gatehouse/oidc/kc/jwks.json")]`)
	a.enter("display_name", "Corp")
	a.enter("allowed_domains", "corp.example,corp.test"+enterKey)
	a.enter("prompt", " ")
	a.enter("acr_values", "gold"+enterKey+"silver"+enterKey)
	a.enter("claims.groups", "roles")
	a.press("Add a rule")
	if at := a.focused(); at != "group_rules[0].claim" {
		a.t.Errorf("a rule was added, and the keyboard is in %q", at)
	}
	a.keys("type a rule", "department"+kb.Tab+"Finance, EU"+enterKey+"Tax"+enterKey)
	a.enter("group_rules[0].group", "finance")
	a.press("Add a rule")
	a.enter("group_rules[1].claim", "site")
	a.enter("group_rules[1].values", "Graz"+enterKey)
	a.enter("group_rules[1].group", "graz")
	a.enter("recheck", "1m")
	a.press("Save")
	a.see(dialog + `//*[@role="alert" and contains(., "recheck is 0, or from 5m0s")]`)
	a.see(dialog + `//*[@data-path="recheck"]//*[contains(@class, "error") and contains(., "recheck is 0")]`)
	if at := a.focused(); at != "recheck" {
		a.t.Errorf("the API refuses recheck, and the keyboard is in %q", at)
	}
	a.look("console-connect-refused", desk)
	a.become(desktopChrome, desk)
	a.enter("recheck", kb.Home+kb.Delete+"15")
	a.save()
	a.made("kc", `{"type":"oidc","display_name":"Corp","issuer":"https://kc.example/realms/corp","client_id":"gate","client_auth":"private_key_jwt",
		"allowed_domains":["corp.example","corp.test"],"prompt":["login"],"acr_values":["gold","silver"],"claims":{"groups":"roles"},"recheck":"15m0s",
		"group_rules":[{"claim":"department","values":["Finance, EU","Tax"],"group":"finance"},{"claim":"site","values":["Graz"],"group":"graz"}]}`)

	// A name that is taken replaces nothing.
	a.begin("Okta")
	a.named("kc")
	a.enter("issuer", "https://other.example")
	a.enter("client_id", "other")
	a.press("Save")
	a.see(dialog + `//*[contains(@class, "error") and text()="There is a connection of this name already."]`)
	if a.kept("kc").Spec["client_id"] != "gate" {
		a.t.Error("a new connection has replaced one that there was")
	}
}

func (a *admin) makeSAML() {
	a.t.Helper()
	metadata := filepath.Join(a.t.TempDir(), "metadata.xml")
	const xml = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example"/>`
	if err := os.WriteFile(metadata, []byte(xml), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.begin("Another provider with SAML")
	a.named("corp-saml")
	a.enter("idp_metadata", down)
	a.see(dialog + `//textarea[@data-path="idp_metadata.xml"]`)
	a.do("upload the metadata", chromedp.SetUploadFiles(dialog+`//input[@type="file"]`, []string{metadata}))
	a.enter("attributes.email", "mail")
	a.enter("signed", down+down+down)
	a.enter("encryption", down+down)
	a.enter("request_binding", down+down)
	a.enter("clock_skew_seconds", "90")
	a.enter("idp_metadata.fingerprint", strings.Repeat("0A:", 31)+"0A")
	a.enter("force_authn", " ")
	a.enter("requested_authn_context", "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"+enterKey)
	a.enter("name_id_format", down)
	for _, exception := range []string{"allow_sha1", "allow_cbc", "idp_initiated"} {
		a.enter(exception, " ")
		a.see(dialog + `//*[@data-path="` + exception + `"]//*[@role="alert"]`)
	}
	a.look("console-connect-exceptions", pocket)
	a.become(desktopChrome, desk)
	a.save()
	a.made("corp-saml", `{"type":"saml","idp_metadata":{"xml":"`+strings.ReplaceAll(xml, `"`, `\"`)+`","fingerprint":"`+strings.Repeat("0a", 32)+`"},"attributes":{"email":"mail"},
		"signed":"both","encryption":"required","request_binding":"post","clock_skew_seconds":90,"force_authn":true,"requested_authn_context":["urn:oasis:names:tc:SAML:2.0:ac:classes:X509"],
		"name_id_format":"persistent","allow_sha1":true,"allow_cbc":true,"idp_initiated":true}`)
}

func (a *admin) makeOAuth2() {
	a.t.Helper()
	a.begin("Another provider with OAuth 2.0")
	a.named("hub")
	a.enter("authorization_url", "https://hub.example/authorize")
	a.enter("token_url", "https://hub.example/token")
	a.enter("userinfo_url", "https://hub.example/me")
	a.enter("client_id", "gate")
	a.enter("client_secret", "hidden-secret")
	a.enter("claims.subject", "data.id")
	a.enter("scopes", "user team"+enterKey)
	a.enter("emails_url", "https://hub.example/emails")
	a.press("Add an address")
	a.enter("groups_from[0].url", "https://hub.example/teams")
	a.enter("groups_from[0].name", "organization.login"+enterKey+"slug"+enterKey)
	a.enter("pkce", down)
	a.see(dialog + `//*[@data-path="pkce"]//*[@role="alert"]`)
	a.save()
	a.made("hub", `{"type":"oauth2","authorization_url":"https://hub.example/authorize","token_url":"https://hub.example/token","userinfo_url":"https://hub.example/me",
		"client_id":"gate","claims":{"subject":"data.id"},"scopes":["user","team"],"emails_url":"https://hub.example/emails","pkce":"none",
		"groups_from":[{"url":"https://hub.example/teams","name":["organization.login","slug"]}]}`)
	if !a.kept("hub").HasSecret {
		a.t.Error("the secret was not kept")
	}
}

// changeTrust changes whom a connection trusts, of which people are told first.
func (a *admin) changeTrust() {
	a.t.Helper()
	spec := a.kept("hub").Spec
	delete(spec, "pkce") // a client without a secret is refused there
	a.call(http.MethodPut, "connections/hub", spec)
	a.change("hub")
	a.enter("token_url", kb.End+"2")
	a.press("Save")
	told := a.see(dialog + `//*[@role="alert" and contains(., "Before this is saved")]`)
	for _, want := range []string{"did not believe before", "signed out at once", "The secret that is kept"} {
		if !strings.Contains(told, want) {
			a.t.Errorf("it is not said that %q: %s", want, told)
		}
	}
	a.look("console-connect-told", desk, pocket)
	a.become(desktopChrome, desk)
	a.press("Back")
	if spec := a.kept("hub").Spec; spec["token_url"] != "https://hub.example/token" {
		a.t.Errorf("it was changed before it was said: %v", spec)
	}
	a.enter("client_secret", "another-secret")
	a.press("Save")
	a.press("Save it all the same")
	a.gone(dialog)
	if now := a.kept("hub"); now.Spec["token_url"] != "https://hub.example/token2" || !now.HasSecret {
		a.t.Errorf("it was not changed: %v", now)
	}

	// What somebody else has changed meanwhile is not undone.
	a.change("hub")
	spec = a.kept("hub").Spec
	spec["display_name"] = "By somebody else"
	a.call(http.MethodPut, "connections/hub", spec)
	a.enter("scopes", "more"+enterKey)
	a.press("Save")
	a.see(dialog + `//*[@role="alert" and contains(., "changed since you read it")]`)
	if now := a.kept("hub").Spec; now["display_name"] != "By somebody else" {
		a.t.Errorf("it was undone: %v", now)
	}
}
