package simplesamltest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"text/template"
	"time"
)

// startTime is how long the server may take on a machine that is busy.
const startTime = time.Minute

// homes are where it may be: installed, or unpacked by .ci/parts.
var homes = []string{"/usr/share/simplesamlphp", "/usr/local/lib/simplesamlphp/usr/share/simplesamlphp"}

//go:embed *.tmpl
var templates embed.FS

// User is somebody who can sign in.
type User struct{ Name, Password, Email string }

// Provider is a running SimpleSAMLphp.
type Provider struct {
	// URL ends in a slash.
	URL string
	// Key is what it signs with, for messages that it would not send.
	Key *rsa.PrivateKey

	dir string
	log output
}

// Start runs a provider on loopback until the test ends.
func Start(t *testing.T, users ...User) *Provider {
	t.Helper()
	if testing.Short() {
		t.Skip("needs SimpleSAMLphp")
	}
	php, err := exec.LookPath("php")
	home := slices.IndexFunc(homes, func(home string) bool { _, err := os.Stat(home + "/www"); return err == nil })
	if err != nil || home < 0 {
		t.Fatalf("PHP or SimpleSAMLphp is missing (.ci/parts installs them): %v", err)
	}
	address := freeAddress(t)
	p := &Provider{URL: "http://" + address + "/", dir: t.TempDir()}
	for _, folder := range []string{"config", "cert", "metadata", "log", "data", "tmp", "sessions"} {
		check(t, os.Mkdir(filepath.Join(p.dir, folder), 0o700))
	}
	p.Key = p.writeKey(t, "idp")
	p.writeKey(t, "next")
	p.write(t, "config/config.php", "config.php.tmpl", struct{ URL, Dir, Salt string }{p.URL, p.dir, rand.Text()})
	p.write(t, "config/authsources.php", "authsources.php.tmpl", users)
	p.Set(t, Settings{})
	p.Trust(t, []byte("<EntitiesDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\"/>"))
	p.run(t, php, address, homes[home]+"/www")
	return p
}

// Trust makes the only services known that there are, by their metadata: one
// entity, or several within an EntitiesDescriptor.
func (p *Provider) Trust(t *testing.T, metadata []byte) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(p.dir, "metadata", "services.xml"), metadata, 0o600))
}

// Settings are how the provider goes about its keys and addresses. It goes by them at
// once.
type Settings struct {
	// Encrypts has it encrypt assertions, as SimpleSAMLphp does: by AES-CBC.
	Encrypts bool
	// Signs is the key that it signs with and Shows the one that its metadata shows:
	// "idp", which is [Provider.Key], or "next". Next is one that the metadata shows
	// as well.
	Signs, Shows, Next string
	// Forms has its metadata name an address for requests in forms alone.
	Forms bool
}

// Set changes the settings.
func (p *Provider) Set(t *testing.T, s Settings) {
	t.Helper()
	s.Signs, s.Shows = cmp.Or(s.Signs, "idp"), cmp.Or(s.Shows, "idp")
	p.write(t, "metadata/saml20-idp-hosted.php", "idp-hosted.php.tmpl", struct {
		Settings

		URL string
	}{s, p.URL})
}

// MetadataURL is where the provider describes itself.
func (p *Provider) MetadataURL() string { return p.URL + "saml2/idp/metadata.php" }

// SignOutURL is where somebody signs out at the provider, and so everywhere.
func (p *Provider) SignOutURL() string {
	return p.URL + "saml2/idp/SingleLogoutService.php?ReturnTo=" + p.URL + "logout.php"
}

func (p *Provider) write(t *testing.T, name, source string, data any) {
	t.Helper()
	parsed, err := template.ParseFS(templates, source)
	check(t, err)
	var text bytes.Buffer
	check(t, parsed.Execute(&text, data))
	check(t, os.WriteFile(filepath.Join(p.dir, name), text.Bytes(), 0o600))
}

// writeKey makes a key that the provider can sign with.
func (p *Provider) writeKey(t *testing.T, name string) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SimpleSAMLphp"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	for ending, block := range map[string]*pem.Block{".pem": {Type: "PRIVATE KEY", Bytes: private}, ".crt": {Type: "CERTIFICATE", Bytes: der}} {
		check(t, os.WriteFile(filepath.Join(p.dir, "cert", name+ending), pem.EncodeToMemory(block), 0o600))
	}
	return key
}

// run starts PHP's own server, and waits until it serves.
func (p *Provider) run(t *testing.T, php, address, pages string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), php, "-S", address, "-t", pages) // #nosec G204 -- a test's own command
	cmd.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+filepath.Join(p.dir, "config"))
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	check(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.dir, "log", "simplesamlphp.log"))
			t.Logf("SimpleSAMLphp:\n%s%s", &p.log, log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for {
		status, err := ask(ctx, p.MetadataURL())
		switch {
		case err == nil && status == http.StatusOK:
			return
		case err == nil:
			t.Fatalf("SimpleSAMLphp answers %d", status)
		case ctx.Err() != nil:
			t.Fatalf("SimpleSAMLphp does not start: %v", err)
		}
		select {
		case <-done:
			t.Fatalf("SimpleSAMLphp has ended: %v", cmd.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, address string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("simplesamlphp: %w", err))
	}
}

// output is what a process says while a test may read it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
