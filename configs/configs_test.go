package configs

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite schema.json and the golden files")

// surroundings is a small world without a machine beneath it.
var surroundings = Surroundings{
	LookupEnv: func(name string) (string, bool) {
		value, ok := map[string]string{"NAME": "staging", "EMPTY": "", "UPSTREAM": "http://app:8080", "LOOP": "${NAME}", "STORE_PASSWORD": "x"}[name]
		return value, ok
	},
	ReadFile: func(path string) ([]byte, error) {
		content, ok := map[string]string{"/etc/gatehouse/url": "sqlite:///srv/gatehouse\n", "/etc/gatehouse/empty": "\n",
			"samples/owner.url": "postgres://gatehouse_owner:x@db.example.com/gatehouse"}[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(content), nil
	},
}

func TestProblemsAreAllReportedWithTheirPlaces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no broken files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, problems := Parse("/etc/gatehouse/gate.yaml", data, surroundings)
			if config != nil {
				t.Fatal("a broken file gave a config")
			}
			var got bytes.Buffer
			for _, p := range problems {
				fmt.Fprintln(&got, p)
			}
			if strings.Contains(got.String(), "hunter2") {
				t.Error("a problem shows a password")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("problems:\n%s\nwant:\n%s", &got, want)
			}
		})
	}
}

func TestSamplesLoad(t *testing.T) {
	samples, err := filepath.Glob("samples/*.yaml")
	if err != nil || len(samples) < 2 {
		t.Fatal("samples are missing", err)
	}
	for _, sample := range samples {
		data, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := Parse(sample, data, surroundings); len(problems) > 0 {
			t.Errorf("%s: %v", sample, problems)
		}
	}
}

func TestEmbeddedSampleShowsTheDefaults(t *testing.T) {
	parse := func(sample string) *Config {
		data, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		config, problems := Parse(sample, data, surroundings)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return config
	}
	minimal, embedded := parse("samples/minimal.yaml"), parse("samples/embedded.yaml")
	if minimal.Limits != embedded.Limits || minimal.App.Headers != embedded.App.Headers ||
		minimal.Listen.HTTPS != embedded.Listen.HTTPS || minimal.Listen.Ops != embedded.Listen.Ops ||
		minimal.Registry != embedded.Registry || minimal.TLS.MinVersion != embedded.TLS.MinVersion {
		t.Error("embedded.yaml calls something a default that is none")
	}
	if minimal.Data != "/var/lib/gatehouse" {
		t.Errorf("data folder %q does not follow the store", minimal.Data)
	}
	if minimal.Limits.HeaderBytes != 64<<10 || minimal.Limits.Requests != 20_000 || minimal.Limits.AnswerTimeout != time.Minute {
		t.Errorf("limits %+v", minimal.Limits)
	}
	if want := netip.MustParsePrefix("10.20.0.0/16"); len(embedded.Egress.Allow) != 1 || embedded.Egress.Allow[0] != want {
		t.Errorf("egress %v", embedded.Egress.Allow)
	}
	if want := netip.MustParsePrefix("2001:db8:64::/96"); len(embedded.Egress.Deny) != 2 || embedded.Egress.Deny[1] != want {
		t.Errorf("egress %v", embedded.Egress.Deny)
	}
	if got := embedded.App.Routes[3]; got.Permission != "reports:read" || len(got.Methods) != 2 {
		t.Errorf("route %+v", got)
	}
	if got := embedded.TLS.Certificates[0].Cert; got != "samples/tls/example.com.pem" {
		t.Errorf("certificate path %q is not relative to the file", got)
	}
}

func TestPlaceholdersNeedNoQuotes(t *testing.T) {
	written := strings.Replace(referring, "{ path: /**, access: signed_in }",
		`{ path: /api/teams/{team}/**,   permission: alerts }, {path: /{a}, access: public}, { path: "/q/{a}", access: public }, {access: public, path: /z/{b}}`, 1)
	config, problems := Parse("/etc/gatehouse/gate.yaml", []byte(written), surroundings)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i, want := range []string{"/api/teams/{team}/**", "/{a}", "/q/{a}", "/z/{b}"} {
		if got := config.App.Routes[i].Path; got != want {
			t.Errorf("path %q, want %q", got, want)
		}
	}
}

const referring = `
environment: ${NAME}
data: here
listen: { trusted_proxies: [10.1.2.3, 10.0.0.7/8] }
tls: { mode: internal, min_version: 1.3 }
store: file:url
keys: "file:///srv/$${NAME}/${LOOP}.key"
operator: { host: admin.localhost }
app: { upstreams: ["${UPSTREAM}"], routes: [ { path: /**, access: signed_in } ] }
`

func TestReferencesAreFollowedOnce(t *testing.T) {
	config, problems := Parse("/etc/gatehouse/gate.yaml", []byte(referring), surroundings)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if config.Environment != "staging" || string(config.Store) != "sqlite:///srv/gatehouse" || config.App.Upstreams[0] != "http://app:8080" {
		t.Errorf("%+v", config)
	}
	if want := "/srv/${NAME}/${NAME}.key"; config.KeyFile() != want {
		t.Errorf("key file %q, want %q", config.KeyFile(), want)
	}
	if config.Data != "/etc/gatehouse/here" {
		t.Errorf("data %q", config.Data)
	}
	if config.DataKeys != "/etc/gatehouse/here/keys" {
		t.Errorf("data keys %q", config.DataKeys)
	}
	proxies := config.Listen.TrustedProxies
	if proxies[0].String() != "10.1.2.3/32" || proxies[1].String() != "10.0.0.0/8" {
		t.Errorf("proxies %v", proxies)
	}
}

func TestP6_SecretsAreMasked(t *testing.T) {
	config := Config{Store: "postgres://u:hunter2@db", Registry: "redis://:hunter2@cache"}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %s", config, config, config, config.Store)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("loaded", "config", config, "store", config.Store)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret was printed: %s", &out)
	}
}

func TestLoadLooksForCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := write("gate.yaml", `environment: test
tls:
  mode: files
  certificates:
    - { cert: there.pem, key: absent.key }
store: sqlite:///srv/gatehouse
keys: file:///srv/kek.key
operator: { host: admin.localhost }
app: { upstreams: ["http://127.0.0.1:1"], routes: [ { path: /**, access: signed_in } ] }
`)
	write("there.pem", "")
	config, problems, err := Load(path)
	if err != nil || config != nil || len(problems) != 1 {
		t.Fatal(config, problems, err)
	}
	if p := problems[0]; p.Line != 5 || p.Column != 31 || !strings.Contains(p.What, "absent.key") {
		t.Errorf("problem %v", p)
	}
	write("absent.key", "")
	if config, problems, err = Load(path); config == nil || problems != nil || err != nil {
		t.Fatal(problems, err)
	}
}

func TestLoadRefusesWhatCannotBeRead(t *testing.T) {
	if _, _, err := Load(filepath.Join(t.TempDir(), "absent.yaml")); err == nil {
		t.Error("an absent file gave no error")
	}
	path := filepath.Join(t.TempDir(), "huge.yaml")
	if err := os.WriteFile(path, bytes.Repeat([]byte("#\n"), MaxBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path); err == nil {
		t.Error("a huge file gave no error")
	}
}

func TestSchemaIsPublished(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.json", got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("schema.json is not what the types say; run: go generate ./configs")
	}
}

func TestHostileYAMLIsBoundedInTime(t *testing.T) {
	for name, data := range map[string]string{
		"brackets": strings.Repeat("[", 4000),
		"braces":   strings.Repeat("{\n", 200_000),
		"hyphens":  strings.Repeat(strings.Repeat("- ", 2000)+"\n", 200),
		"keys":     strings.Repeat("k: 1\n", 200_000),
		"indented": func() string {
			var b strings.Builder
			for i := range 1000 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(),
		"line": "a: " + strings.Repeat("x", MaxBytes-3),
		"bomb": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n",
		"utf8": "a: \xff\xfe",
	} {
		start := time.Now()
		config, problems := Parse("hostile.yaml", []byte(data), surroundings)
		if config != nil || len(problems) == 0 || len(problems) > maxProblems {
			t.Errorf("%s: config %v, %d problems", name, config != nil, len(problems))
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"samples/*.yaml", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(referring))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, problems := Parse("/etc/gatehouse/gate.yaml", data, surroundings)
		if (config == nil) != (len(problems) > 0) {
			t.Fatalf("config %v with problems %v", config, problems)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.What == "" || p.Fix == "" {
				t.Fatalf("a problem without place or remedy: %+v", p)
			}
		}
		if config != nil && (config.Environment == "" || len(config.App.Routes) == 0 || config.KeyFile() == "") {
			t.Fatalf("an incomplete config passed: %+v", config)
		}
	})
}

func TestNetworksAreReadAsTheyAreMatched(t *testing.T) {
	for written, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3/8": "10.0.0.0/8", "::1": "::1/128", "2001:db8::7/32": "2001:db8::/32",
		"::ffff:10.1.2.3": "10.1.2.3/32", "::ffff:10.1.2.3/104": "10.0.0.0/8", "fe80::1%eth0": "", "everybody": "", "10.0.0.0/33": "",
	} {
		var got netip.Prefix
		err := parsePrefix(written, &got)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%s is read as %v, %v; want %s", written, got, err, want)
		}
	}
}
