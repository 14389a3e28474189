package tenants_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

const secret = "a-secret-that-must-not-show"

func oidc(name string) tenants.Connection {
	return tenants.Connection{Name: name, Type: tenants.OIDC, Enabled: true, DefaultRole: "member", Link: tenants.LinkByEmail,
		OIDC: &tenants.OIDCSpec{Issuer: "https://idp.example.com/tenant", ClientID: "gatehouse", ClientSecret: secret,
			Scopes: []string{"openid", "email"}, ACRValues: []string{"mfa"}, Claims: tenants.AttributeMap{Email: "email", Groups: "groups"}},
		Signals: &tenants.Signals{Issuer: "https://idp.example.com/ssf", Authorization: "Bearer " + secret}}
}

// canonical is how a spec is kept.
func canonical(s *tenants.SAMLSpec) *tenants.SAMLSpec {
	s.IDPMetadata.Fingerprint = strings.Repeat("ab", 32)
	return s
}

func saml(name string) tenants.Connection {
	return tenants.Connection{Name: name, Type: tenants.SAML, Enabled: true,
		SAML: &tenants.SAMLSpec{IDPMetadata: tenants.MetadataSource{XML: "<EntityDescriptor/>", Fingerprint: strings.Repeat("AB:", 31) + "AB"}, Attributes: tenants.AttributeMap{Email: "mail"},
			IDPInitiated: true, Signed: tenants.SignedBoth, Encryption: tenants.EncryptionRequired, AllowSHA1: true, AllowCBC: true, ClockSkew: 300,
			SignRequests: true, RequestBinding: tenants.RequestPost, ForceAuthn: true, AuthnContexts: []string{"a", "b"}, NameIDFormat: tenants.NameIDEmail},
		Signals: &tenants.Signals{Issuer: "https://mdm.example.com", JWKSURL: "https://mdm.example.com/keys", Audience: "gatehouse",
			Poll: &tenants.SignalsPoll{Endpoint: "https://mdm.example.com/poll", Token: secret}}}
}

func TestConnectionsAreKeptWholeAcrossRestarts(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	byOIDC, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	e, _ := h.journal.last()
	if e.Tenant != acme.ID || e.Type != audit.ConnectionChanged || e.Connection != byOIDC.ID || e.Details["change"] != "created" {
		t.Errorf("journalled %+v", e)
	}
	bySAML, err := h.service.PutConnection(t.Context(), cause, acme.ID, saml("adfs"))
	must(t, err)
	want := oidc("okta")
	want.ID, want.Version, want.CreatedAt, want.UpdatedAt = byOIDC.ID, 1, byOIDC.CreatedAt, byOIDC.UpdatedAt
	if !reflect.DeepEqual(byOIDC, want) {
		t.Errorf("kept %+v, want %+v", byOIDC, want)
	}
	for _, when := range []string{"loaded", "cached", "restarted"} {
		all, err := h.service.Connections(t.Context(), acme.ID)
		must(t, err)
		if len(all) != 2 || all[0].Name != "adfs" || all[1].Name != "okta" {
			t.Fatalf("%s: %+v", when, all)
		}
		byName, err := h.service.Connection(t.Context(), acme.ID, "okta")
		must(t, err)
		byID, err := h.service.ConnectionByID(t.Context(), acme.ID, bySAML.ID)
		must(t, err)
		if !reflect.DeepEqual(byName.OIDC, want.OIDC) || byName.DefaultRole != "member" || byName.Link != tenants.LinkByEmail || !reflect.DeepEqual(byID.SAML, canonical(saml("").SAML)) ||
			!byName.Signals.Same(oidc("").Signals) || !byID.Signals.Same(saml("").Signals) {
			t.Errorf("%s: %+v, %+v, %+v, %+v", when, byName.OIDC, byID.SAML, byName.Signals, byID.Signals)
		}
		byName.OIDC.Scopes[0], byName.OIDC.ACRValues[0], byName.OIDC.ClientSecret = "changed", "changed", "changed" // what is handed out is the caller's own
		byName.Signals.Issuer, byID.Signals.Poll.Token = "changed", "changed"
		if when == "cached" {
			h.open(t)
		}
	}
	_, err = h.service.Connection(t.Context(), acme.ID, "none")
	wantFault(t, "unknown connection", err, fault.NotFound)
	_, err = h.service.Connections(t.Context(), "ten_none")
	wantFault(t, "unknown tenant", err, fault.NotFound)
	if _, err := os.Stat(filepath.Join(h.dir, "tenants", "ten_none")); err == nil {
		t.Error("asking for an unknown tenant made a file")
	}
}

func TestPutConnectionReplacesWhatTheCallerHasSeen(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	first, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	change := first
	change.Enabled = false
	second, err := h.service.PutConnection(t.Context(), cause, acme.ID, change)
	must(t, err)
	if second.ID != first.ID || second.Version != 2 || second.Enabled {
		t.Errorf("%+v", second)
	}
	if got, err := h.service.Connection(t.Context(), acme.ID, "okta"); err != nil || got.Enabled || got.OIDC.ClientSecret != secret || got.Signals.Authorization != "Bearer "+secret {
		t.Errorf("found %+v, %v", got, err)
	}
	_, err = h.service.PutConnection(t.Context(), cause, acme.ID, first)
	wantFault(t, "an old version", err, fault.Precondition)
	gone := oidc("gone")
	gone.Version = 3
	_, err = h.service.PutConnection(t.Context(), cause, acme.ID, gone)
	wantFault(t, "a version of nothing", err, fault.Precondition)
	public := oidc("okta") // version 0: whatever is there
	public.OIDC.ClientSecret, public.Signals = "", nil
	third, err := h.service.PutConnection(t.Context(), cause, acme.ID, public)
	must(t, err)
	h.open(t)
	if got, err := h.service.Connection(t.Context(), acme.ID, "okta"); err != nil || got.OIDC.ClientSecret != "" || got.Signals != nil || got.Version != third.Version {
		t.Errorf("found %+v, %v", got, err)
	}
	wantFault(t, "delete an old version", h.service.DeleteConnection(t.Context(), cause, acme.ID, "okta", second.Version), fault.Precondition)
	h.meanwhile(t, acme.ID, `UPDATE connections SET version = version + 1`)
	wantFault(t, "delete what another node has changed", h.service.DeleteConnection(t.Context(), cause, acme.ID, "okta", third.Version), fault.Precondition)
	must(t, h.service.DeleteConnection(t.Context(), cause, acme.ID, "okta", third.Version+1))
	_, err = h.service.Connection(t.Context(), acme.ID, "okta")
	wantFault(t, "deleted", err, fault.NotFound)
	wantFault(t, "deleted twice", h.service.DeleteConnection(t.Context(), cause, acme.ID, "okta", 0), fault.NotFound)
}

func TestP3_ConnectionsBelongToOneTenant(t *testing.T) {
	h := newHouse(t)
	acme, globex := h.add(t, "acme"), h.add(t, "globex")
	made, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	_, err = h.service.Connection(t.Context(), globex.ID, "okta")
	wantFault(t, "by name", err, fault.NotFound)
	_, err = h.service.ConnectionByID(t.Context(), globex.ID, made.ID)
	wantFault(t, "by id", err, fault.NotFound)
	wantFault(t, "delete", h.service.DeleteConnection(t.Context(), cause, globex.ID, "okta", 0), fault.NotFound)
	if _, err := h.service.PutConnection(t.Context(), cause, globex.ID, oidc("okta")); err != nil {
		t.Errorf("the same name is free there: %v", err)
	}
}

// A connection's secret shows neither in JSON nor in print nor in the journal, and
// the row in the database, read with the key, holds it sealed.
func TestP6_ConnectionSecretsStayInside(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	kept, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	polled, err := h.service.PutConnection(t.Context(), cause, acme.ID, saml("adfs"))
	must(t, err)
	text, err := json.Marshal([]tenants.Connection{kept, polled})
	must(t, err)
	h.journal.mu.Lock()
	events := fmt.Sprintf("%+v", h.journal.events)
	h.journal.mu.Unlock()
	var row string
	must(t, h.db.Tenant(acme.ID).Read(t.Context(), func(tx *store.Tx) (err error) {
		row, err = store.One(t.Context(), tx, func(r store.Row) (string, error) {
			var spec string
			var secret, signals []byte
			err := r.Scan(&spec, &secret, &signals)
			return fmt.Sprintf("%s %x %s %x %s", spec, secret, secret, signals, signals), err
		}, `SELECT name || spec, secret, signals_secret FROM connections WHERE name = 'adfs'`)
		return err
	}))
	shown := map[string]string{"JSON": string(text), "%v": fmt.Sprintf("%v", kept), "%+v": fmt.Sprintf("%+v %+v %+v %+v", kept, *kept.OIDC, *kept.Signals, *polled.Signals.Poll), "journal": events, "row": row}
	must(t, filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		shown[path] = string(data)
		return err
	}))
	for where, text := range shown {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the secret", where)
		}
	}
}

// Identities of which nobody has noted who gave them are the provider's that is believed
// when another one is to be; what is noted stays.
func TestWhoNamedPeopleBeforeIsNotedWithTheChange(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	c, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	must(t, h.db.Tenant(acme.ID).Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, email, display_key, display_name, external_id, active, source, attributes, version, created_at, updated_at)
			VALUES ('usr_a', 'a', 'a', '', '', '', '', TRUE, 'signin', '{}', 1, 0, 0)`); err != nil {
			return err
		}
		for subject, naming := range map[string]string{"unnoted": "", "noted": "x"} {
			if _, err := tx.Exec(t.Context(), `INSERT INTO identities (connection_id, subject, user_id, created_at, seen_at, issuer, naming) VALUES ($1, $2, 'usr_a', 0, 0, '', $3)`, c.ID, subject, naming); err != nil {
				return err
			}
		}
		return nil
	}))
	named := func() (unnoted, noted string) {
		must(t, h.db.Tenant(acme.ID).Read(t.Context(), func(tx *store.Tx) (err error) {
			const of = `SELECT naming FROM identities WHERE subject = $1`
			if unnoted, err = store.One(t.Context(), tx, store.Scalar[string], of, "unnoted"); err == nil {
				noted, err = store.One(t.Context(), tx, store.Scalar[string], of, "noted")
			}
			return err
		}))
		return unnoted, noted
	}
	next := c
	next.DisplayName = "Okta"
	next, err = h.service.PutConnection(t.Context(), cause, acme.ID, next)
	must(t, err)
	if unnoted, noted := named(); unnoted != "" || noted != "x" {
		t.Errorf("by the same provider: %q, %q", unnoted, noted)
	}
	next.OIDC.Issuer = "https://another.example"
	_, err = h.service.PutConnection(t.Context(), cause, acme.ID, next)
	must(t, err)
	if unnoted, noted := named(); unnoted != c.Naming() || noted != "x" {
		t.Errorf("by another provider: %q, %q", unnoted, noted)
	}
}

func TestConnectionsAreChecked(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	for what, spoil := range map[string]func(c *tenants.Connection){
		"name":                    func(c *tenants.Connection) { c.Name = "Okta" },
		"name with a slash":       func(c *tenants.Connection) { c.Name = "a/b" },
		"no type":                 func(c *tenants.Connection) { c.Type = "" },
		"unknown type":            func(c *tenants.Connection) { c.Type = "ldap" },
		"another type's settings": func(c *tenants.Connection) { c.Type = tenants.SAML },
		"both settings":           func(c *tenants.Connection) { c.SAML = saml("x").SAML },
		"no settings":             func(c *tenants.Connection) { c.OIDC = nil },
		"display name":            func(c *tenants.Connection) { c.DisplayName = "a\nb" },
		"unknown people":          func(c *tenants.Connection) { c.Unknown = "maybe" },
		"no domain":               func(c *tenants.Connection) { c.Admits.Domains = []string{"localhost"} },
		"many domains":            func(c *tenants.Connection) { c.Admits.Domains = slices.Repeat([]string{"a.example"}, 101) },
		"an unnamed group":        func(c *tenants.Connection) { c.Admits.Groups = []string{""} },
		"a rule for no claim":     func(c *tenants.Connection) { c.GroupRules = []tenants.GroupRule{{Values: []string{"x"}, Group: "g"}} },
		"a rule for no group":     func(c *tenants.Connection) { c.GroupRules = []tenants.GroupRule{{Claim: "c", Values: []string{"x"}}} },
		"a rule without values":   func(c *tenants.Connection) { c.GroupRules = []tenants.GroupRule{{Claim: "c", Group: "g"}} },
		"a rule for an empty value": func(c *tenants.Connection) {
			c.GroupRules = []tenants.GroupRule{{Claim: "c", Group: "g", Values: []string{""}}}
		},
		"many rules": func(c *tenants.Connection) {
			c.GroupRules = slices.Repeat([]tenants.GroupRule{{Claim: "c", Group: "g", Values: []string{"x"}}}, 101)
		},
		"link rule":              func(c *tenants.Connection) { c.Link = "always" },
		"role":                   func(c *tenants.Connection) { c.DefaultRole = "a b" },
		"plain http":             func(c *tenants.Connection) { c.OIDC.Issuer = "http://idp.example.com" },
		"http to a lookalike":    func(c *tenants.Connection) { c.OIDC.Issuer = "http://localhost.example.com" },
		"http to a private net":  func(c *tenants.Connection) { c.OIDC.Issuer = "http://10.0.0.1" },
		"another scheme":         func(c *tenants.Connection) { c.OIDC.Issuer = "file:///etc/passwd" },
		"no host":                func(c *tenants.Connection) { c.OIDC.Issuer = "https:///x" },
		"user in the URL":        func(c *tenants.Connection) { c.OIDC.Issuer = "https://u:p@idp.example.com" },
		"query in the issuer":    func(c *tenants.Connection) { c.OIDC.Issuer += "?a=b" },
		"fragment in the issuer": func(c *tenants.Connection) { c.OIDC.Issuer += "#x" },
		"long issuer":            func(c *tenants.Connection) { c.OIDC.Issuer += strings.Repeat("x", 3000) },
		"no client":              func(c *tenants.Connection) { c.OIDC.ClientID = "" },
		"long client":            func(c *tenants.Connection) { c.OIDC.ClientID = strings.Repeat("x", 600) },
		"long secret":            func(c *tenants.Connection) { c.OIDC.ClientSecret = strings.Repeat("x", 5000) },
		"scope with a space":     func(c *tenants.Connection) { c.OIDC.Scopes = []string{"openid email"} },
		"scopes without openid":  func(c *tenants.Connection) { c.OIDC.Scopes = []string{"email"} },
		"many scopes":            func(c *tenants.Connection) { c.OIDC.Scopes = make([]string, 33) },
		"acr with a space":       func(c *tenants.Connection) { c.OIDC.ACRValues = []string{"a b"} },
		"an empty acr":           func(c *tenants.Connection) { c.OIDC.ACRValues = []string{""} },
		"a long acr":             func(c *tenants.Connection) { c.OIDC.ACRValues = []string{strings.Repeat("a", 201)} },
		"many acr":               func(c *tenants.Connection) { c.OIDC.ACRValues = slices.Repeat([]string{"a"}, 11) },
		"claim with a line end":  func(c *tenants.Connection) { c.OIDC.Claims.Email = "a\nb" },
		"two sources of metadata": func(c *tenants.Connection) {
			*c = saml("x")
			c.SAML.IDPMetadata = tenants.MetadataSource{URL: "https://idp.example/metadata", XML: "<EntityDescriptor/>"}
		},
		"no metadata": func(c *tenants.Connection) { *c = saml("x"); c.SAML.IDPMetadata = tenants.MetadataSource{} },
		"metadata by http": func(c *tenants.Connection) {
			*c = saml("x")
			c.SAML.IDPMetadata.URL = "http://idp.example.com/metadata"
		},
		"metadata too large":         func(c *tenants.Connection) { *c = saml("x"); c.SAML.IDPMetadata.XML = strings.Repeat("x", 256<<10+1) },
		"signals of nobody":          func(c *tenants.Connection) { c.Signals.Issuer = "" },
		"signals over plain http":    func(c *tenants.Connection) { c.Signals.Issuer = "http://idp.example.com" },
		"query in their issuer":      func(c *tenants.Connection) { c.Signals.Issuer += "?a=b" },
		"keys over plain http":       func(c *tenants.Connection) { c.Signals.JWKSURL = "http://idp.example.com/keys" },
		"long audience":              func(c *tenants.Connection) { c.Signals.Audience = strings.Repeat("x", 3000) },
		"audience of two lines":      func(c *tenants.Connection) { c.Signals.Audience = "a\nb" },
		"authorization of two lines": func(c *tenants.Connection) { c.Signals.Authorization += "\r\nX: y" },
		"authorization with a space": func(c *tenants.Connection) { c.Signals.Authorization += " " },
		"long authorization":         func(c *tenants.Connection) { c.Signals.Authorization = strings.Repeat("x", 5000) },
		"pushed and polled":          func(c *tenants.Connection) { c.Signals.Poll = saml("x").Signals.Poll },
		"poll over plain http": func(c *tenants.Connection) {
			*c = saml("x")
			c.Signals.Poll.Endpoint = "http://10.0.0.1/poll"
		},
		"poll without a token":     func(c *tenants.Connection) { *c = saml("x"); c.Signals.Poll.Token = "" },
		"poll by a token of words": func(c *tenants.Connection) { *c = saml("x"); c.Signals.Poll.Token = secret + " b" },
		"poll by a token in UTF-8": func(c *tenants.Connection) { *c = saml("x"); c.Signals.Poll.Token = secret + "\u00e4" },
		"a fingerprint of SHA-1":   func(c *tenants.Connection) { *c = saml("x"); c.SAML.IDPMetadata.Fingerprint = strings.Repeat("a", 40) },
		"a fingerprint of words":   func(c *tenants.Connection) { *c = saml("x"); c.SAML.IDPMetadata.Fingerprint = strings.Repeat("x", 64) },
		"signed by halves":         func(c *tenants.Connection) { *c = saml("x"); c.SAML.Signed = "half" },
		"encryption by chance":     func(c *tenants.Connection) { *c = saml("x"); c.SAML.Encryption = "maybe" },
		"a binding that is none":   func(c *tenants.Connection) { *c = saml("x"); c.SAML.RequestBinding = "artifact" },
		"a NameID that is none":    func(c *tenants.Connection) { *c = saml("x"); c.SAML.NameIDFormat = "transient" },
		"a clock that runs back":   func(c *tenants.Connection) { *c = saml("x"); c.SAML.ClockSkew = -1 },
		"a clock that is far off":  func(c *tenants.Connection) { *c = saml("x"); c.SAML.ClockSkew = 301 },
		"a class of two words":     func(c *tenants.Connection) { *c = saml("x"); c.SAML.AuthnContexts = []string{"a b"} },
		"too many classes":         func(c *tenants.Connection) { *c = saml("x"); c.SAML.AuthnContexts = make([]string, 11) },
		"metadata in Latin-1":      func(c *tenants.Connection) { *c = saml("x"); c.SAML.IDPMetadata.XML = "\xe4" },
	} {
		c := oidc("okta")
		spoil(&c)
		_, err := h.service.PutConnection(t.Context(), cause, acme.ID, c)
		wantRefused(t, what, err)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds the secret", what)
		}
	}
	for i, issuer := range []string{"http://127.0.0.1:5556/dex", "http://[::1]:5556", "http://localhost:5556", "http://idp.localhost", "https://idp.example.com/a?"[:25]} {
		c := oidc(fmt.Sprintf("good-%d", i))
		c.OIDC.Issuer = issuer
		if _, err := h.service.PutConnection(t.Context(), cause, acme.ID, c); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// wantRefused wants a connection refused, and a word where it is wrong.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	wantFault(t, what, err, fault.Invalid)
	if err != nil && fault.As(err).Field == "" {
		t.Errorf("%s: nothing says where: %v", what, err)
	}
}

// meanwhile has another node change something right after the next record.
func (h *house) meanwhile(t *testing.T, tenant identity.TenantID, statement string) {
	t.Helper()
	h.journal.leave = func() {
		h.journal.leave = nil
		must(t, h.db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), statement)
			return err
		}))
	}
}
