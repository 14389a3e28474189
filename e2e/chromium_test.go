package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gatehouse/demo"
)

// Screens that pages are looked at on, in CSS pixels.
type screen struct {
	name          string
	width, height int64
}

var (
	desk   = screen{"", 1280, 800}
	pocket = screen{"-phone", 375, 812}
)

// screenshots is where the pictures of a run are kept; make clean removes it.
const screenshots = "../out/screenshots"

// axe is the accessibility checker, as npm installs it beside the console.
const axe = "../console/app/node_modules/axe-core/axe.min.js"

// axeRules are the sets of rules that pages keep, whatever axe says of their impact:
// WCAG 2.0 to 2.2 on levels A and AA, and what axe calls best practice. Left out are
// level AAA and rules that axe calls experimental.
const axeRules = `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`

// browser is a running Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// chromium starts the real browser. It trusts the demo's certificate authority
// by its key, as a person would who installed the certificate.
func chromium(t *testing.T, info demo.Info) browser {
	t.Helper()
	var path string
	var err error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("this test drives Chromium, which is not installed; make parts installs it: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // it may run as root, and opens pages of this test alone
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-GB"),
		chromedp.Flag("ignore-certificate-errors-spki-list", strings.Join(publicKeys(t, info), ",")),
		chromedp.WSURLReadTimeout(patience))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return browser{t, ctx}
}

// publicKeys hashes the keys of the certificates that the gate shows.
func publicKeys(t *testing.T, info demo.Info) []string {
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, tenant := range info.Tenants {
		resp, _ := get(t, client, tenant.URL+"public/ping")
		for _, certificate := range resp.TLS.PeerCertificates {
			sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
			keys = append(keys, base64.StdEncoding.EncodeToString(sum[:]))
		}
	}
	return keys
}

// tab is one tab of a person's browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// profile opens a person's own browser: no cookie is shared with another.
func (b browser) profile(userAgent string, s screen) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	b.t.Cleanup(cancel)
	return newTab(ctx, b.t, userAgent, s)
}

// tab opens another tab of the same browser.
func (p *tab) tab(userAgent string, s screen) *tab {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx)
	p.t.Cleanup(cancel)
	return newTab(ctx, p.t, userAgent, s)
}

func newTab(ctx context.Context, t *testing.T, userAgent string, s screen) *tab {
	t.Helper()
	// A tab lives as long as the context that it was first run in.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p := &tab{t, ctx}
	p.become(userAgent, s)
	return p
}

func (p *tab) become(userAgent string, s screen) {
	p.t.Helper()
	p.do("set the browser up", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: userAgent})
		return err
	}), chromedp.EmulateViewport(s.width, s.height))
}

// do drives the tab; what says what it was meant to come to.
func (p *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, p.where())
	}
}

// where describes the page that the tab stands on, for a failure.
func (p *tab) where() string {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return fmt.Sprintf("at %s (%v):\n%.2000s", at, err, text)
}

// open goes to an address as if it was typed.
func (p *tab) open(address string) {
	p.t.Helper()
	p.do("open "+address, chromedp.Navigate(address))
}

// click presses what an XPath names, once it can be seen and has come to rest: a page
// that is laid out anew, for another size or by what comes, would have another thing
// where it was.
func (p *tab) click(path string) {
	p.t.Helper()
	p.see(path)
	quoted, _ := json.Marshal(path)
	script[any](p, `new Promise((done) => {
		let was = '', still = 0;
		const look = () => {
			const at = document.evaluate(`+string(quoted)+`, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue;
			if (!at) return done(null);
			at.scrollIntoView({ block: 'nearest', behavior: 'instant' });
			const { x, y, width, height } = at.getBoundingClientRect();
			const is = [x, y, width, height].join();
			still = is === was ? still + 1 : 0;
			was = is;
			if (still >= 3) done(null);
			else requestAnimationFrame(look);
		};
		look();
	})`)
	p.do("click "+path, chromedp.Click(path))
}

// typeInto enters text into what an XPath names. chromedp's own SendKeys looks at the attributes
// of the field without their lock, while the page may be changing them.
func typeInto(path, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.Focus(path, chromedp.NodeVisible), chromedp.KeyEvent(text))
}

// see waits until something can be seen that an XPath names, and reads it.
func (p *tab) see(path string) string {
	p.t.Helper()
	text := p.await(path, func(text *string) bool { return text != nil })
	return *text
}

// gone waits until nothing can be seen that an XPath names.
func (p *tab) gone(path string) {
	p.t.Helper()
	p.await(path, func(text *string) bool { return text == nil })
}

// await asks the page again and again, because one page may be leaving while
// the next comes, for the text of what an XPath names; nil if it is not there.
func (p *tab) await(path string, enough func(text *string) bool) *string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	quoted, err := json.Marshal(path)
	if err != nil {
		p.t.Fatal(err)
	}
	look := chromedp.Evaluate[*string](`(() => {
		const found = document.evaluate(` + string(quoted) + `, document, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
		for (let i = 0; i < found.snapshotLength; i++) {
			const node = found.snapshotItem(i);
			if (node.checkVisibility({visibilityProperty: true})) return node.innerText;
		}
		return null;
	})()`)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		text, err := chromedp.Run(ctx, look)
		if err == nil && enough(text) {
			return text
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("waited in vain for %s: %v\n%s", path, err, p.where())
		case <-again.C:
		}
	}
}

// script runs JavaScript of the test's own in the page.
func script[T any](p *tab, source string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](source, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("script: %v\n%s", err, p.where())
	}
	return value
}

// host is where the tab stands.
func (p *tab) host() string {
	p.t.Helper()
	return script[string](p, "location.hostname")
}

// signIn fills in the identity provider's form, at which the tab must stand.
func (p *tab) signIn(info demo.Info, tenant, email string) {
	p.t.Helper()
	for _, u := range info.Tenants[tenant].Users {
		if u.Email == email {
			p.see(`//input[@name="username"]`)
			p.do("sign in as "+email,
				typeInto(`//input[@name="username"]`, u.Email),
				typeInto(`//input[@name="password"]`, u.Password),
				chromedp.Click(`//button[@type="submit"]`))
			return
		}
	}
	p.t.Fatalf("there is no account %s", email)
}

// look keeps pictures of the page on the screens, light and dark, and checks
// that it is accessible and fits.
func (p *tab) look(name string, screens ...screen) {
	p.t.Helper()
	for _, s := range screens {
		p.do("size the window", chromedp.EmulateViewport(s.width, s.height))
		for _, scheme := range []string{"light", "dark"} {
			p.colours(scheme)
			p.picture(filepath.Join(screenshots, name+s.name+"-"+scheme+".png"))
			if s == screens[0] || scheme == "light" { // another width changes the order, not the colours
				p.accessible(name + s.name + ", " + scheme)
			}
			if width := script[int64](p, "document.documentElement.scrollWidth"); width > s.width {
				p.t.Errorf("%s%s is %d pixels wide on a screen of %d", name, s.name, width, s.width)
			}
		}
	}
}

// colours sets the reader's wish for light or dark, and waits until the page
// is painted so: two frames, and no transition under way.
func (p *tab) colours(scheme string) {
	p.t.Helper()
	p.do("choose colours", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
	script[any](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
		.then(() => Promise.allSettled(document.getAnimations()
			.filter(a => a.effect.getComputedTiming().iterations !== Infinity).map(a => a.finished)))
		.then(() => null)`)
}

// picture keeps what the screen shows.
func (p *tab) picture(path string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, image, 0o644))
	}
	if err != nil {
		p.t.Fatalf("picture %s: %v", path, err)
	}
}

// accessible runs axe-core on the page, which finds nothing.
func (p *tab) accessible(name string) {
	p.t.Helper()
	source, err := os.ReadFile(axe)
	if errors.Is(err, fs.ErrNotExist) {
		p.t.Fatalf("axe-core is not installed; make build installs it: %v", err)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if !script[bool](p, `typeof axe === "object"`) {
		script[any](p, string(source)+"; null")
	}
	found := script[string](p, `axe.run(document, {resultTypes: ["violations"], runOnly: {type: "tag", values: `+axeRules+`}}).then(r => JSON.stringify(r.violations
		.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map(n => n.html.slice(0, 200) + " " + n.failureSummary)}))))`)
	var violations []json.RawMessage
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		p.t.Fatal(err)
	}
	for _, v := range violations {
		p.t.Errorf("%s is not accessible: %s", name, v)
	}
}
