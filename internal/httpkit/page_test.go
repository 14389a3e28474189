package httpkit

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A page that sends its form at once runs that one script and no other.
func TestAPageMaySubmitItsForm(t *testing.T) {
	for _, submit := range []bool{false, true} {
		w := httptest.NewRecorder()
		WritePage(w, httptest.NewRequest(http.MethodGet, "/", nil), Page{Title: "x", Body: `<form method="post"></form>`, Submit: submit})
		_, script, found := strings.Cut(w.Body.String(), "<script>")
		script, _, _ = strings.Cut(script, "</script>")
		sum := sha256.Sum256([]byte(script))
		policy := w.Header().Get("Content-Security-Policy")
		allowed := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
		if found != submit || strings.Contains(policy, "script-src") != submit || (submit && !strings.Contains(policy, allowed)) {
			t.Errorf("submit %t: script %q under %q", submit, script, policy)
		}
	}
}
