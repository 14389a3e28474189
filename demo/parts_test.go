package demo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestOnlyLoopbackIsServed(t *testing.T) {
	for addr, ok := range map[string]bool{
		"": true, "127.0.0.1:0": true, "[::1]:8443": true, "localhost:8443": true,
		":8443": false, "0.0.0.0:8443": false, "192.0.2.1:8443": false, "example.com:443": false, "8443": false,
	} {
		o := Options{Addr: addr}
		if err := o.complete(); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestConfigQuotesTheFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), `a "quoted": #folder`)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	config, err := writeConfig(data, "127.0.0.1:0", "http://127.0.0.1:9", "")
	if err == nil {
		t.Fatal("a folder with # in its name cannot be part of a URL, and was accepted:", config.Store)
	}
	data = filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if config, err = writeConfig(data, "127.0.0.1:0", "http://127.0.0.1:9", ""); err != nil {
		t.Fatal(err)
	}
	if config.Data != data || config.KeyFile() != filepath.Join(data, "kek.key") || config.App.Upstreams[0] != "http://127.0.0.1:9" || len(config.App.Routes) != 6 {
		t.Errorf("%+v", config)
	}
}

func TestStateIsKept(t *testing.T) {
	data := t.TempDir()
	first, err := loadState(data)
	if err != nil {
		t.Fatal(err)
	}
	first.AppPort = 4711
	if err := first.save(); err != nil {
		t.Fatal(err)
	}
	again, err := loadState(data)
	if err != nil {
		t.Fatal(err)
	}
	if again.AppPort != 4711 || again.ClientSecret != first.ClientSecret || !again.oidcKey.Equal(first.oidcKey) ||
		!again.samlKey.Equal(first.samlKey) || !again.samlCertificate.Equal(first.samlCertificate) {
		t.Error("the state changed on its way over the disk")
	}
	info, err := os.Stat(first.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(first.path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(data); err == nil {
		t.Error("a state without keys was taken")
	}
}

func TestPartsComeBackToTheirPorts(t *testing.T) {
	s := &state{}
	first, err := openListeners(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	ports := *s
	first.closeUnserved()
	again, err := openListeners(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer again.closeUnserved()
	if !reflect.DeepEqual(*s, ports) {
		t.Errorf("ports %+v, before %+v", *s, ports)
	}
	other, err := openListeners(t.Context(), s) // all taken now
	if err != nil {
		t.Fatal(err)
	}
	other.closeUnserved()
}

func example() *Demo {
	return &Demo{data: "/srv/demo", info: Info{Ready: true, CA: "/srv/demo/ca/ca.pem", Ops: "http://127.0.0.1:1", App: "http://127.0.0.1:2",
		Operator: Operator{URL: "https://admin.localhost:8443/", Token: "gh_operator"},
		Tenants: map[string]Tenant{
			acme:   {URL: "https://acme.localhost:8443/", Connection: "oidc", APIToken: "gh_a", SCIM: "https://acme.localhost:8443/scim/v2", SCIMToken: "gh_as", Users: customers[0].users()},
			globex: {URL: "https://globex.localhost:8443/", Connection: "saml", APIToken: "gh_g", SCIM: "https://globex.localhost:8443/scim/v2", SCIMToken: "gh_gs", Users: customers[1].users()},
		}}}
}

func TestInfoHasTheContractsShape(t *testing.T) {
	text, err := json.Marshal(example().Info())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ready":true,"ca":"/srv/demo/ca/ca.pem","ops":"http://127.0.0.1:1","operator":{"url":"https://admin.localhost:8443/","token":"gh_operator"},` +
		`"app":"http://127.0.0.1:2","tenants":{"acme":{"url":"https://acme.localhost:8443/","connection":"oidc","api_token":"gh_a","scim":"https://acme.localhost:8443/scim/v2","scim_token":"gh_as",` +
		`"users":[{"email":"owner@acme.example","password":"demo-owner","role":"owner"},{"email":"member@acme.example","password":"demo-member","role":"member"},{"email":"viewer@acme.example","password":"demo-viewer","role":"viewer"}]},`
	if !strings.HasPrefix(string(text), want) {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestWelcomeNamesEverything(t *testing.T) {
	var out strings.Builder
	d := example()
	if err := d.Welcome(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"https://acme.localhost:8443/", "https://globex.localhost:8443/", "https://admin.localhost:8443/", "member@globex.example", "demo-member",
		"gh_operator", "gh_as", "/srv/demo/ca/ca.pem", "/__seen", ".gatehouse/console/", "audit tail"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the welcome lacks %q:\n%s", want, &out)
		}
	}
}
