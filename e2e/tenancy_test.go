package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"gatehouse/audit"
	"gatehouse/demo"
	"gatehouse/demo/browse"
	"gatehouse/gateway"
	"gatehouse/identity"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/telemetry"
	"gatehouse/tenants"
)

// at calls a URL of a tenant's admin API with its own owner token.
func at(t *testing.T, info demo.Info, tenant, method, path, body string) (int, []byte) {
	t.Helper()
	client := plainClient(t, info, 2)
	resp, text := do(t, client, request(t, method, info.Tenants[tenant].URL+path, body, "Authorization", "Bearer "+info.Tenants[tenant].APIToken))
	return resp.StatusCode, text
}

const v1 = ".gatehouse/api/v1/"

// cookies gives what a browser holds for a tenant, as one Cookie line.
func cookies(t *testing.T, client *http.Client, address string, names ...string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var line []string
	for _, c := range client.Jar.Cookies(u) {
		if slices.Contains(names, c.Name) {
			line = append(line, c.Name+"="+c.Value)
		}
	}
	if len(line) != len(names) {
		t.Fatalf("the browser lacks some of %v", names)
	}
	return strings.Join(line, "; ")
}

var stepOfProgram = regexp.MustCompile(`name="step" value="([^"]+)"`)

// programToken has whoever is signed in by a browser allow a program, and gives its
// token, which is good where it was made.
func programToken(t *testing.T, info demo.Info, browser *http.Client, at string) string {
	t.Helper()
	post := func(client *http.Client, path string, form url.Values) []byte {
		resp, text := do(t, client, request(t, http.MethodPost, at+path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "*/*"))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s", path, resp.Status, text)
		}
		return text
	}
	program := plainClient(t, info, 2)
	codes := decode[struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
	}](t, post(program, ".gatehouse/oauth/device_authorization", url.Values{"client_id": {"gatehouse-cli"}, "device_name": {"build-server"}}))
	step := stepOfProgram.FindSubmatch(post(browser, ".gatehouse/device", url.Values{"user_code": {codes.User}}))
	if step == nil {
		t.Fatal("the page asks nobody to allow the program")
	}
	post(browser, ".gatehouse/device", url.Values{"user_code": {codes.User}, "step": {string(step[1])}, "decision": {"allow"}})
	token := decode[struct {
		Token string `json:"access_token"`
	}](t, post(program, ".gatehouse/oauth/token", url.Values{"client_id": {"gatehouse-cli"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {codes.Device}})).Token
	if resp, text := get(t, program, at+v1+"me", "Authorization", "Bearer "+token); resp.StatusCode != http.StatusOK || !strings.HasPrefix(token, "gh_cli_") {
		t.Fatalf("the token is no good where it was made: %s: %s", resp.Status, text)
	}
	return token
}

func TestP3_CredentialsOfOneTenantAreNothingAtAnother(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	acme, globex := info.Tenants["acme"], info.Tenants["globex"]
	browser := signedIn(t, info, "acme", owner)
	session := cookies(t, browser, acme.URL, "__Host-gatehouse")
	device := cookies(t, browser, acme.URL, "__Host-gatehouse-device")
	credentials := map[string][]string{
		"session":            {"Cookie", session},
		"device":             {"Cookie", device},
		"session and device": {"Cookie", session + "; " + device},
		"API token":          {"Authorization", "Bearer " + acme.APIToken},
		"SCIM token":         {"Authorization", "Bearer " + acme.SCIMToken},
		"operator's token":   {"Authorization", "Bearer " + info.Operator.Token},
		"program's token":    {"Authorization", "Bearer " + programToken(t, info, browser, acme.URL)},
	}
	paths := []string{"", "api/whoami", "api/admin/billing", "api/teams/payments/alerts", "events", "ws", v1 + "me", v1 + "sessions", v1 + "users",
		v1 + "audit/events", v1 + "audit/export", v1 + "tokens", v1 + "platform/tenants", "scim/v2/Users", "scim/v2/Groups", ".gatehouse/devices", ".gatehouse/console/"}
	client := plainClient(t, info, 2)
	for name, credential := range credentials {
		for _, host := range []string{globex.URL, info.Operator.URL} {
			if name == "operator's token" && host == info.Operator.URL {
				host = acme.URL
			}
			for _, path := range paths {
				for _, accept := range []string{"application/json", "text/html"} {
					resp, body := get(t, client, host+path, append(slices.Clone(credential), "Accept", accept)...)
					switch resp.StatusCode {
					case http.StatusUnauthorized, http.StatusForbidden:
					case http.StatusNotFound: // there is no app at the operators' host, and no platform at a tenant's
						if host != info.Operator.URL && path != v1+"platform/tenants" {
							t.Errorf("%s at %s%s: %s", name, host, path, resp.Status)
						}
					case http.StatusSeeOther:
						to := resp.Header.Get("Location")
						if lobby := host == info.Operator.URL && path == "" && to == "/.gatehouse/console/"; !lobby && !strings.HasPrefix(to, "/.gatehouse/login") {
							t.Errorf("%s at %s%s is sent to %s", name, host, path, to)
						}
					default:
						t.Errorf("%s at %s%s: %s: %s", name, host, path, resp.Status, body)
					}
					if strings.Contains(string(body), "@acme.example") {
						t.Errorf("%s at %s%s shows acme's data: %s", name, host, path, body)
					}
				}
			}
		}
	}
}

func TestP3_IdsOfOneTenantDoNotExistAtAnother(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	browser := signedIn(t, info, "acme", member)
	scim := func(tenant, method, path, body string) (int, []byte) {
		where := info.Tenants[tenant]
		resp, text := do(t, plainClient(t, info, 2), request(t, method, where.SCIM+path, body,
			"Authorization", "Bearer "+where.SCIMToken, "Content-Type", "application/scim+json"))
		return resp.StatusCode, text
	}
	if status, text := scim("acme", http.MethodPost, "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Acme secret group"}`); status != http.StatusCreated {
		t.Fatalf("%d: %s", status, text)
	}
	first := func(path string) string {
		status, text := at(t, info, "acme", http.MethodGet, v1+path, "")
		list := decode[struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
		}](t, text)
		if status != http.StatusOK || len(list.Items) == 0 {
			t.Fatalf("acme has no %s: %d: %s", path, status, text)
		}
		return list.Items[0].ID
	}
	session, device, user, group, team := first("sessions"), first("devices"), first("users"), first("groups"), first("teams")
	connection, token, assignment, event := first("connections"), first("tokens"), first("assignments"), first("audit/events")
	before := map[string]string{}
	for _, path := range []string{"sessions", "devices", "users", "groups", "teams", "connections", "assignments"} {
		_, text := at(t, info, "acme", http.MethodGet, v1+path+"?limit=100", "")
		before[path] = ids(t, text)
	}
	for _, guess := range [][3]string{
		{http.MethodDelete, "sessions/" + session, ""},
		{http.MethodPost, "sessions/revoke", `{"user":"` + user + `"}`},
		{http.MethodPost, "sessions/revoke", `{"device":"` + device + `"}`},
		{http.MethodDelete, "devices/" + device, ""},
		{http.MethodPatch, "devices/" + device, `{"blocked":true}`},
		{http.MethodGet, "users/" + user, ""},
		{http.MethodPatch, "users/" + user, `{"active":false}`},
		{http.MethodDelete, "users/" + user, ""},
		{http.MethodGet, "groups/" + group, ""},
		{http.MethodGet, "teams/" + team, ""},
		{http.MethodPatch, "teams/" + team, `{"display_name":"mine"}`},
		{http.MethodDelete, "teams/" + team, ""},
		{http.MethodGet, "connections/" + connection, ""},
		{http.MethodDelete, "connections/" + connection, ""},
		{http.MethodDelete, "tokens/" + token, ""},
		{http.MethodDelete, "assignments/" + assignment, ""},
		{http.MethodPost, "assignments", `{"role":"owner","user":"` + user + `"}`},
		{http.MethodPost, "assignments", `{"role":"member","group":"` + group + `"}`},
		{http.MethodGet, "audit/events/" + event, ""},
		{http.MethodPost, "authorize/explain", `{"user":"` + user + `","permission":"alerts:read"}`},
		{http.MethodGet, "platform/tenants/acme", ""},
	} {
		if status, text := at(t, info, "globex", guess[0], v1+guess[1], guess[2]); status != http.StatusNotFound {
			t.Errorf("globex, %s %s %s: %d: %s", guess[0], guess[1], guess[2], status, text)
		}
	}
	for _, path := range []string{"/Users/" + user, "/Groups/" + group} {
		for method, body := range map[string]string{http.MethodGet: "", http.MethodDelete: "",
			http.MethodPatch: `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"displayName","value":"x"}]}`} {
			if status, text := scim("globex", method, path, body); status != http.StatusNotFound {
				t.Errorf("globex by SCIM, %s %s: %d: %s", method, path, status, text)
			}
		}
	}
	// A connection may be gone and its sessions left, so its id is not looked up;
	// it ends nothing here.
	if _, text := at(t, info, "globex", http.MethodPost, v1+"sessions/revoke", `{"connection":"`+connection+`"}`); !strings.Contains(string(text), `"sessions":0`) {
		t.Errorf("globex, by acme's connection: %s", text)
	}
	// A filter by an id of another tenant finds nothing.
	for _, path := range []string{"sessions?user=" + user, "sessions?device=" + device, "devices?user=" + user, "audit/events?actor=" + user, "audit/access?session=" + session} {
		if status, text := at(t, info, "globex", http.MethodGet, v1+path, ""); status != http.StatusOK || ids(t, text) != "" {
			t.Errorf("globex, %s: %d: %s", path, status, text)
		}
	}
	for path, want := range before {
		if _, text := at(t, info, "acme", http.MethodGet, v1+path+"?limit=100", ""); ids(t, text) != want {
			t.Errorf("acme's %s were %s and are %s", path, want, text)
		}
	}
	if resp, _ := get(t, browser, info.Tenants["acme"].URL+"api/whoami"); resp.StatusCode != http.StatusOK {
		t.Errorf("acme's member is signed out: %s", resp.Status)
	}
}

// ids gives the ids of a list answer.
func ids(t *testing.T, text []byte) string {
	t.Helper()
	var all []string
	for _, item := range decode[struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}](t, text).Items {
		all = append(all, item.ID)
	}
	return strings.Join(all, " ")
}

// crossing sends one step of a sign-in to another tenant's host, with the
// cookies that the browser would have sent to the right one.
type crossing struct {
	http.RoundTripper

	step, to string
	crossed  int
}

func (c *crossing) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, c.step) {
		c.crossed++
		r = r.Clone(r.Context())
		_, port, _ := strings.Cut(r.URL.Host, ":")
		r.URL.Host = c.to + ":" + port
		r.Host = ""
		if r.Header.Get("Origin") != "" {
			r.Header.Set("Origin", "https://"+r.URL.Host)
		}
	}
	return c.RoundTripper.RoundTrip(r)
}

// TestP3_ASignInStaysWithItsTenant gives both tenants the same connections, so
// that nothing but the tenant tells them apart.
func TestP3_ASignInStaysWithItsTenant(t *testing.T) {
	d := inProcess(t)
	info, rooms := d.Info(), d.Gateway().Services()
	id := func(name string) identity.TenantID { found, _ := rooms.Tenants.ByName(name); return found.ID }
	for from, to := range map[string]string{"acme": "globex", "globex": "acme"} {
		all, err := rooms.Tenants.Connections(t.Context(), id(from))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Name == info.Tenants[from].Connection {
				same := tenants.Connection{Name: c.Name, Type: c.Type, Enabled: true, DefaultRole: c.DefaultRole, OIDC: c.OIDC, SAML: c.SAML}
				if _, err := rooms.Tenants.PutConnection(t.Context(), audit.SystemCause(), id(to), same); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, way := range []struct{ tenant, step, to string }{
		{"acme", "/oidc/oidc/callback", "globex.localhost"},
		{"globex", "/saml/saml/acs", "acme.localhost"},
	} {
		client, err := info.Client()
		if err != nil {
			t.Fatal(err)
		}
		c := &crossing{RoundTripper: client.Transport, step: way.step, to: way.to}
		client.Transport = c
		person := info.Tenants[way.tenant].Users[1]
		resp, err := browse.SignIn(t.Context(), client, info.Tenants[way.tenant].URL+".gatehouse/login?connection="+info.Tenants[way.tenant].Connection, person.Email, person.Password)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if c.crossed == 0 {
			t.Fatalf("%s: the step was not taken", way.step)
		}
		if resp.StatusCode < http.StatusBadRequest || resp.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s taken to %s ended at %s with %s", way.step, way.to, resp.Request.URL, resp.Status)
		}
		for _, tenant := range info.Tenants {
			u, _ := url.Parse(tenant.URL)
			for _, cookie := range client.Jar.Cookies(u) {
				if cookie.Name == "__Host-gatehouse" {
					t.Errorf("%s taken to %s made a session at %s", way.step, way.to, tenant.URL)
				}
			}
		}
	}
	for _, tenant := range []string{"acme", "globex"} {
		if status, text := at(t, info, tenant, http.MethodGet, v1+"sessions", ""); status != http.StatusOK || ids(t, text) != "" {
			t.Errorf("%s has sessions: %d: %s", tenant, status, text)
		}
	}
}

// TestP3_OneConnectionServesManyTenantsApart reuses a connection for another
// host, as HTTP/2 clients do (RFC 9113 §9.1.1), and lies in the SNI.
func TestP3_OneConnectionServesManyTenantsApart(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	browser := signedIn(t, info, "acme", member)
	cookie := cookies(t, browser, info.Tenants["acme"].URL, "__Host-gatehouse")
	address, err := url.Parse(info.Tenants["acme"].URL)
	if err != nil {
		t.Fatal(err)
	}
	trust := plainClient(t, info, 1).Transport.(*http.Transport).TLSClientConfig.RootCAs //nolint:errcheck // plainClient made it
	for _, sni := range []string{"acme.localhost", "globex.localhost", "admin.localhost"} {
		raw, err := demo.DialLocal(t.Context(), "tcp", address.Host)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, &tls.Config{ServerName: sni, RootCAs: trust, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
		t.Cleanup(func() { _ = conn.Close() })
		one, err := (&http2.Transport{}).NewClientConn(conn) //nolint:staticcheck // net/http would dial itself, with an SNI that fits
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for host, want := range map[string]int{"acme": http.StatusOK, "globex": http.StatusUnauthorized, "nobody": http.StatusMisdirectedRequest} {
				target := "https://" + host + ".localhost:" + address.Port() + "/api/whoami"
				resp, err := one.RoundTrip(request(t, http.MethodGet, target, "", "Cookie", cookie))
				if err != nil {
					t.Fatal(err)
				}
				var seen bytes.Buffer
				_, _ = seen.ReadFrom(resp.Body)
				_ = resp.Body.Close()
				refused := sni != host+".localhost" && resp.StatusCode == http.StatusMisdirectedRequest
				if resp.StatusCode != want && !refused {
					t.Errorf("SNI %s, host %s: %s", sni, host, resp.Status)
				}
				if resp.StatusCode == http.StatusOK && !strings.Contains(seen.String(), `"tenant": "acme"`) {
					t.Errorf("SNI %s, host %s: the app saw %s", sni, host, &seen)
				}
			}
		}
	}
}

// swapped gives one tenant the other's keys.
type swapped struct {
	*keys.Ring

	names map[identity.TenantID]identity.TenantID
}

func (s swapped) Derive(ctx context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	if other, ok := s.names[tenant]; ok {
		tenant = other
	}
	return s.Ring.Derive(ctx, tenant, purpose, size)
}

func TestP3_FilesOpenedByHandKeepTenantsApart(t *testing.T) {
	data := t.TempDir()
	d, err := demo.Start(t.Context(), demo.Options{Data: data, Log: telemetry.NewLogger(t.Output(), telemetry.Text, slog.LevelWarn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	info := d.Info()
	signedIn(t, info, "acme", member)
	signedIn(t, info, "globex", "member@globex.example")
	id := map[string]identity.TenantID{}
	for name := range info.Tenants {
		found, _ := d.Gateway().Services().Tenants.ByName(name)
		id[name] = found.ID
	}
	known := []string{"@acme.example", "@globex.example", "Olivia Owner", "Max Member", "Vera Viewer", "acme-member", "globex-member", "Payments",
		info.Tenants["acme"].APIToken, info.Tenants["acme"].SCIMToken, info.Operator.Token}
	noPlaintext(t, data, known) // while it runs, with what is not yet in the main files
	d.Close()
	noPlaintext(t, data, known)

	kek, err := keys.OpenFileKEK(filepath.Join(data, "kek.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	ring := keys.NewRing(kek, keys.ReadDirVault(filepath.Join(data, "keys")))
	location := "sqlite://" + filepath.Join(data, "store")
	right := openStore(t, location, ring)
	for name, other := range map[string]string{"acme": "globex", "globex": "acme"} {
		emails, err := emailsOf(t, right, id[name])
		if err != nil || len(emails) < 3 {
			t.Fatalf("%s: %v, %v", name, emails, err)
		}
		for _, email := range emails {
			if !strings.HasSuffix(email, "@"+name+".example") {
				t.Errorf("%s's file holds %s of %s", name, email, other)
			}
		}
	}
	exchanged := swapped{ring, map[identity.TenantID]identity.TenantID{id["acme"]: id["globex"], id["globex"]: id["acme"]}}
	wrong := openStore(t, location, exchanged)
	for name := range id {
		if emails, err := emailsOf(t, wrong, id[name]); err == nil {
			t.Errorf("%s's file opens with the other's key: %v", name, emails)
		}
	}
	journal, err := audit.OpenReader(audit.Options{Dir: gateway.JournalDir(data), Keys: exchanged})
	if err != nil {
		t.Fatal(err)
	}
	for name := range id {
		for e, err := range journal.Read(t.Context(), id[name], nil) {
			if err == nil {
				t.Errorf("%s's journal opens with the other's key: %v", name, e)
			}
		}
	}
}

func openStore(t *testing.T, location string, source store.KeySource) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), location, store.Options{Keys: source, Environment: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func emailsOf(t *testing.T, db *store.DB, tenant identity.TenantID) (emails []string, err error) {
	t.Helper()
	err = db.Tenant(tenant).Read(t.Context(), func(tx *store.Tx) (err error) {
		emails, err = store.All(t.Context(), tx, store.Scalar[string], `SELECT email FROM users`)
		return err
	})
	return emails, err
}

// noPlaintext looks for known words in every file of a data folder.
func noPlaintext(t *testing.T, data string, known []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was temporary
		}
		files++
		for _, word := range known {
			if bytes.Contains(content, []byte(word)) {
				t.Errorf("%s holds %q in the clear", path, word)
			}
		}
		return err
	})
	if err != nil || files < 10 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// TestP2_ARevokedTokensStreamEndsBeforeTheAnswer: once the token is deleted, no
// word that the app sends reaches whoever came by it.
func TestP2_ARevokedTokensStreamEndsBeforeTheAnswer(t *testing.T) {
	b := startProbed(t)
	resp, text := b.admin(t, "acme", http.MethodPost, "tokens", `{"name":"robot","scope":"api","role":"viewer"}`)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	robot := decode[struct{ ID, Secret string }](t, text)
	gone, stays := b.tokenStream(t, "acme", robot.Secret), b.tokenStream(t, "acme", b.Info().Tenants["acme"].APIToken)
	if resp, text = b.admin(t, "acme", http.MethodDelete, "tokens/"+robot.ID, ""); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	b.app.over.Store("", true) // what comes without a session: from now on its words are late
	gone.closed(t)
	stays.alive(t)
	if resp, text = get(t, b.h1, b.Info().Tenants["acme"].URL, "Authorization", "Bearer "+robot.Secret); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("afterwards: %s: %s", resp.Status, text)
	}
}

// TestP2_TenantsEndWhoeverAsks: suspending and deleting close what is open
// without the API's help, too.
func TestP2_TenantsEndWhoeverAsks(t *testing.T) {
	b := startProbed(t)
	for tenant, end := range map[string]func(identity.TenantID) error{
		"acme": func(id identity.TenantID) error {
			_, err := b.rooms.Tenants.Update(t.Context(), audit.SystemCause(), id, 0, func(c *tenants.Tenant) error {
				c.Status = tenants.Suspended
				return nil
			})
			return err
		},
		"globex": func(id identity.TenantID) error {
			return b.rooms.Tenants.Delete(t.Context(), audit.SystemCause(), id, 0)
		},
	} {
		t.Run(tenant, func(t *testing.T) {
			s := b.sit(t, tenant, b.person(t, tenant, "somebody"))
			had := append(s.everything(t), b.tokenStream(t, tenant, b.Info().Tenants[tenant].APIToken))
			if err := end(b.tenantID(t, tenant)); err != nil {
				t.Fatal(err)
			}
			s.over(t, had)
		})
	}
}
