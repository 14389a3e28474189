package console

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

const samplePage = `<meta property="csp-nonce" nonce="__GATEHOUSE_NONCE__"><script type="module" src="/.gatehouse/console/assets/app-1a2b.js"></script>`

func sample() http.Handler {
	return serve(fstest.MapFS{"assets/app-1a2b.js": {Data: []byte("run()")}, "index.html": {Data: []byte(samplePage)}}, samplePage)
}

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestPageHasAFreshNonceThatThePolicyNames(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		w := get(sample(), "GET", "/.gatehouse/console/sessions")
		policy := w.Header().Get("Content-Security-Policy")
		nonce := regexp.MustCompile(`'nonce-([^']+)'`).FindStringSubmatch(policy)
		if w.Code != 200 || nonce == nil || !strings.Contains(w.Body.String(), `nonce="`+nonce[1]+`"`) {
			t.Fatalf("status %d, policy %q, page %q", w.Code, policy, w.Body)
		}
		if seen[nonce[1]] {
			t.Fatal("a nonce was used twice")
		}
		seen[nonce[1]] = true
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("policy lets too much through: %s", policy)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Error("a page with a nonce may not be stored")
		}
	}
}

func TestAssetsAreKeptForEver(t *testing.T) {
	w := get(sample(), "GET", "/.gatehouse/console/assets/app-1a2b.js")
	if w.Code != 200 || w.Body.String() != "run()" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("status %d, cache %q", w.Code, w.Header().Get("Cache-Control"))
	}
	if media := w.Header().Get("Content-Type"); !strings.HasPrefix(media, "text/javascript") {
		t.Errorf("served as %q", media)
	}
}

func TestWhatIsNotServed(t *testing.T) {
	for _, target := range []string{
		"/.gatehouse/console/assets/missing.js", // no page in place of a script
		"/.gatehouse/console/assets/",
		"/.gatehouse/console/assets/../index.html",
		"/.gatehouse/consolex/", "/", "/.gatehouse/api/v1/me",
	} {
		if w := get(sample(), "GET", target); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
	if w := get(sample(), "POST", "/.gatehouse/console/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
	if w := get(sample(), "GET", "/.gatehouse/console"); w.Code != http.StatusMovedPermanently {
		t.Errorf("without slash: status %d", w.Code)
	}
}

func TestStandInWithoutABuild(t *testing.T) {
	page, err := web.ReadFile("web/unbuilt.html")
	if err != nil {
		t.Fatal(err)
	}
	w := get(serve(nil, string(page)), "GET", "/.gatehouse/console/users")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if w := get(serve(nil, string(page)), "GET", "/.gatehouse/console/assets/a.js"); w.Code != http.StatusNotFound {
		t.Errorf("asset without a build: status %d", w.Code)
	}
}

func TestEmbeddedConsoleAnswers(t *testing.T) {
	w := get(Handler(), "GET", "/.gatehouse/console/")
	if w.Code != 200 || strings.Contains(w.Body.String(), noncePlace) {
		t.Errorf("status %d, or a place for the nonce was left over", w.Code)
	}
}
