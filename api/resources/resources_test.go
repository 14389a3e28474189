package resources

import (
	"bytes"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"
)

const sample = `
kind: Tenant
name: acme
spec: { hosts: [acme.example], display_name: Acme, settings: { session: { idle: 8h } }, logo: { file: logo } }
---
kind: Connection
tenant: acme
name: okta
spec:
  type: oidc
  issuer: https://idp.example
  client_id: "0oa"
  client_secret: "${OKTA_SECRET}"
  scopes: [openid, email]
  acr_values: [phr, mfa]
  max_age: 12h
  claims: { groups: groups }
---
kind: Connection
tenant: acme
name: adfs
spec: { type: saml, idp_metadata: { file: metadata.xml }, attributes: { email: mail } }
---
kind: Role
tenant: acme
name: support
spec: { permissions: [ "alerts:read" ] }
---
kind: Team
tenant: acme
name: payments
spec: {}
---
kind: Assignment
tenant: acme
name: ops
spec: { role: team_admin, team: payments, group: ops }
---
kind: Service
tenant: acme
name: billing
spec: { role: member, credentials: [ { jwt: { connection: okta, audience: api, subject: billing } } ] }
---
kind: GoogleSync
tenant: acme
name: google
spec: { admin: ada@acme.example, org_units: [ /Sales ], interval_minutes: 60, gone: delete, take_over: true, key: "${OKTA_SECRET}" }
`

// around has one variable and a few files.
var around = Surroundings{
	LookupEnv: func(name string) (string, bool) {
		return map[string]string{"OKTA_SECRET": "hun${OKTA_SECRET}ter2"}[name], name == "OKTA_SECRET"
	},
	ReadFile: func(path string) ([]byte, error) {
		switch path {
		case "metadata.xml":
			return []byte("<xml/>\n"), nil
		case "logo":
			return []byte("RIFF\x00\xff\n"), nil
		case "secret":
			return []byte("from-file\r\n"), nil
		case "locked":
			return nil, fs.ErrPermission
		case "empty":
			return nil, nil
		case "huge":
			return make([]byte, maxReference+1), nil
		}
		return nil, fs.ErrNotExist
	},
}

func TestParseReadsEveryKindAndResolvesReferences(t *testing.T) {
	documents, err := Parse("r.yaml", []byte(sample), around)
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) != 8 {
		t.Fatalf("%d documents", len(documents))
	}
	tenant, err := Decode[TenantSpec](documents[0])
	if err != nil || time.Duration(tenant.Settings.Session.Idle) != 8*time.Hour || tenant.Hosts[0] != "acme.example" {
		t.Errorf("tenant %+v, %v", tenant, err)
	}
	if image, err := tenant.Logo.Data(); err != nil || string(image) != "RIFF\x00\xff\n" || strings.Contains(string(documents[0].Spec), "file") { // as it is
		t.Errorf("logo %q, %v", image, err)
	}
	okta, err := Decode[ConnectionSpec](documents[1])
	if err != nil || okta.ClientSecret != "hun${OKTA_SECRET}ter2" { // looked up once, never again
		t.Errorf("connection %+v, %v", okta, err)
	}
	adfs, err := Decode[ConnectionSpec](documents[2])
	if err != nil || adfs.IDPMetadata.XML != "<xml/>" || strings.Contains(string(documents[2].Spec), "metadata.xml") {
		t.Errorf("connection %s, %v", documents[2].Spec, err)
	}
	sync, err := Decode[GoogleSyncSpec](documents[7])
	if err != nil || sync.Key != "hun${OKTA_SECRET}ter2" || sync.Admin != "ada@acme.example" || sync.OrgUnits[0] != "/Sales" || sync.Minutes != 60 || sync.Gone != "delete" || !sync.TakeOver {
		t.Errorf("Google %s, %v", documents[7].Spec, err)
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	for name, try := range map[string]struct{ text, want string }{
		"unknown kind":       {"kind: Sink\ntenant: a\nname: b\nspec: {}", "kind \"Sink\" is not known"},
		"unknown key":        {"kind: Team\ntenant: a\nname: b\nspec: {}\nextra: 1", "r.yaml:5:"},
		"unknown spec key":   {"kind: Team\ntenant: a\nname: b\nspec:\n  display: x", "r.yaml:5:"},
		"duplicate key":      {"kind: Team\ntenant: a\nname: b\nname: c", "r.yaml:4:"},
		"no name":            {"kind: Team\ntenant: a\nspec: {}", "has no name"},
		"no tenant":          {"kind: Team\nname: a\nspec: {}", "which tenant"},
		"tenant in a tenant": {"kind: Tenant\ntenant: b\nname: a\nspec: {}", "in no tenant"},
		"second document":    {"kind: Team\ntenant: a\nname: b\n---\nkind: Nope\nname: c", "r.yaml:5:"},
		"anchor":             {"kind: &a Team\nname: *a", "anchors"},
		"tag":                {"kind: !!str Team", "tags"},
		"unset variable":     {"kind: Team\ntenant: a\nname: b\nspec: { display_name: \"${NOPE}\" }", "NOPE is not set"},
		"open reference":     {"kind: Team\ntenant: a\nname: b\nspec: { display_name: \"${NOPE\" }", "begins a reference"},
		"missing file":       {"kind: Team\ntenant: a\nname: b\nspec: { display_name: \"file:gone\" }", "there is no file gone"},
		"locked file":        {"kind: Team\ntenant: a\nname: b\nspec: { display_name: \"file:locked\" }", "cannot be read"},
		"empty file":         {"kind: Team\ntenant: a\nname: b\nspec: { display_name: \"file:empty\" }", "is empty"},
		"no logo file":       {"kind: Tenant\nname: a\nspec: { logo: { file: gone } }", "there is no file gone"},
		"no logo":            {"kind: Tenant\nname: a\nspec: { logo: {} }", "exactly one of file and base64"},
		"two logos":          {"kind: Tenant\nname: a\nspec: { logo: { file: logo, base64: AAAA } }", "exactly one of file and base64"},
		"huge file":          {"kind: Team\ntenant: a\nname: b\nspec: { display_name: \"file:huge\" }", "larger"},
		"not a mapping":      {"- a\n- b", "r.yaml:1:"},
		"bad syntax":         {"kind: [", "r.yaml:1:"},
		"wrong type":         {"kind: Role\ntenant: a\nname: b\nspec: { permissions: yes }", "r.yaml:4:"},
		"not text":           {"kind: \xff", "UTF-8"},
	} {
		_, err := Parse("r.yaml", []byte(try.text), around)
		if err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q", name, err, try.want)
		}
		if _, ok := errors.AsType[*Mistake](err); err != nil && !ok {
			t.Errorf("%s: %T has no place", name, err)
		}
	}
}

func TestEveryDocumentsMistakeIsTold(t *testing.T) {
	_, err := Parse("r.yaml", []byte("kind: A\nname: x\n---\nkind: B\nname: x\n---\nkind: Team\nname: x"), around)
	if err == nil || strings.Count(err.Error(), "r.yaml:") != 3 {
		t.Errorf("told: %v", err)
	}
}

func TestReferencesInFiles(t *testing.T) {
	text := "kind: Team\ntenant: a\nname: b\nspec: { display_name: \"file:secret\" }\n---\nkind: Team\ntenant: a\nname: c\nspec: { display_name: \"$${HOME} costs $5\" }"
	documents, err := Parse("r.yaml", []byte(text), around)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"from-file", "${HOME} costs $5"} {
		if spec, err := Decode[TeamSpec](documents[i]); err != nil || spec.DisplayName != want {
			t.Errorf("%+v, %v, want %q", spec, err, want)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	if _, err := Decode[TeamSpec](Document{Kind: KindTeam, Name: "x", Spec: []byte(`{"surprise":1}`)}); err == nil {
		t.Error("an unknown field was read over")
	}
}

func TestHostileFilesAreBoundedInTime(t *testing.T) {
	for name, text := range map[string]string{
		"deep brackets": strings.Repeat("[", 100_000),
		"deep blocks":   deepBlocks(3_000),
		"many keys":     "kind: Team\nspec:\n" + strings.Repeat("  a: b\n", 60_000),
		"long line":     "kind: " + strings.Repeat("x", maxLine),
		"too large":     strings.Repeat("a: b\n", MaxBytes/4),
		"many commas":   "a: [" + strings.Repeat(",", 50_000) + "]",
		"dashes":        strings.Repeat("- ", 20_000),
	} {
		start := time.Now()
		if _, err := Parse("r.yaml", []byte(text), around); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func deepBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i%2_000) + "a:\n")
	}
	return b.String()
}

// What export gives of the largest logo can be applied.
func TestALogoFitsIntoALine(t *testing.T) {
	image := strings.Repeat("AAAA", (64<<10)/3+1)
	d, err := New(KindTenant, "", "acme", TenantSpec{Logo: &Image{Base64: image}})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := Encode(&file, []Document{d}); err != nil {
		t.Fatal(err)
	}
	if again, err := Parse("r.yaml", file.Bytes(), around); err != nil || !reflect.DeepEqual(again, []Document{d}) {
		t.Errorf("%v", err)
	}
}

// FuzzParse: what is read can be written, and reads the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("kind: Team\ntenant: a\nname: b\nspec: { display_name: \"$${x} | : #\" }"))
	f.Add([]byte("kind: Role\ntenant: a\nname: b\nspec:\n  description: |\n    two\n    lines\n  permissions: ['*:*']"))
	f.Fuzz(func(t *testing.T, data []byte) {
		documents, err := Parse("f.yaml", data, around)
		if err != nil {
			return
		}
		var file bytes.Buffer
		if err := Encode(&file, documents); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Parse("g.yaml", file.Bytes(), around)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, file.String())
		}
		if len(again) != len(documents) || len(documents) > 0 && !reflect.DeepEqual(again, documents) {
			t.Fatalf("read %s\nagain %s\nfile %s", documents, again, file.String())
		}
	})
}
