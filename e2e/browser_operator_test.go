package e2e

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/demo"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/telemetry"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// TestBrowserOperator looks at the operators' console while a tenant's key is
// missing: the alert stands above every page, and the node is shown with it. The
// tenant's own admins cannot be told by a page that is not served; when the key is
// back, the alert goes by itself.
func TestBrowserOperator(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	data := t.TempDir()
	d, err := demo.Start(t.Context(), demo.Options{Data: data, Log: telemetry.NewLogger(t.Output(), telemetry.Text, slog.LevelError)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	info := d.Info()
	b := chromium(t, info)
	operator := b.profile(desktopChrome, desk)
	operator.open(info.Operator.URL + ".gatehouse/logout")
	script[string](operator, `document.cookie = "`+sessionIn+`=`+operatorSession(t, d)+`; Secure; Path=/"`)
	operator.open(info.Operator.URL + consolePath)
	operator.see(`//h1[text()="Tenants"]`)
	operator.see(`//main//li`)
	operator.look("console-tenants", desk)
	operator.click(`//nav//a[contains(., "Nodes")]`)
	operator.see(`//h1[text()="Nodes"]`)
	if node := operator.see(`//li[starts-with(@data-testid, "node-")]`); !strings.Contains(node, "Alone") || !strings.Contains(node, "Answers you") {
		t.Errorf("the node is shown as %q", node)
	}

	found, ok := d.Gateway().Services().Tenants.ByName("globex")
	if !ok {
		t.Fatal("there is no globex")
	}
	key := filepath.Join(data, "keys", string(found.ID)+".key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the tenant's failure", func() bool {
		resp, _ := get(t, client, info.Tenants["globex"].URL)
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	if banner := operator.see(`//*[@data-testid="alert-tenant-unready"]`); !strings.Contains(banner, "Tenant globex") || !strings.Contains(banner, "critical") && !strings.Contains(banner, "503") {
		t.Errorf("the alert is shown as %q", banner)
	}
	operator.see(`//nav//a[contains(., "Nodes")]//*[@aria-label="1 open alerts"]`)
	operator.look("console-nodes", desk, pocket)
	operator.become(desktopChrome, desk)
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	operator.see(`//*[@id="main" and not(.//*[@data-testid="alert-tenant-unready"])]//h1[text()="Nodes"]`)
	operator.open(info.Operator.URL + consolePath + "events")
	operator.see(`//li[@data-testid="event-alert.raised"]`)
	operator.see(`//li[@data-testid="event-alert.cleared"]`)
}

// operatorSession signs somebody in on the operators' host, who runs the gateway.
func operatorSession(t *testing.T, d *demo.Demo) (cookie string) {
	t.Helper()
	rooms, ctx, by := d.Gateway().Services(), t.Context(), audit.SystemCause()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	door, err := rooms.Tenants.PutConnection(ctx, by, identity.Platform, tenants.Connection{Name: "door", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: "https://door.example", ClientID: "gatehouse"}})
	must(err)
	user, err := rooms.Directory.CreateUser(ctx, by, identity.Platform,
		directory.User{UserName: "root@admin.example", Email: "root@admin.example", DisplayName: "Ruth Root", Active: true, Source: directory.SourceAdmin})
	must(err)
	_, err = rooms.Authz.Assign(ctx, by, identity.Platform, authz.Assignment{Role: authz.Owner, User: user.ID})
	must(err)
	made, err := rooms.Sessions.Create(ctx, by, identity.Platform, sessions.NewSession{User: user.ID,
		Connection: door.ID, ConnectionVersion: door.Version, UserAgent: desktopChrome})
	must(err)
	return made.Token
}
