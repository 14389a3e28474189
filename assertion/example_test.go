package assertion_test

import (
	"fmt"
	"log/slog"
	"net/http"

	"gatehouse/assertion"
)

// An app behind the gate: one verifier for all its requests, and no request
// that did not come through the gate.
func Example() {
	verifier, err := assertion.NewVerifier(assertion.Options{URL: "https://acme.example.com/.gatehouse/jwks.json"})
	if err != nil {
		slog.Error("verifier", "error", err)
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		who, err := verifier.Request(r)
		if err != nil {
			http.Error(w, "this app is served through the gate only", http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintf(w, "Hello %s of %s", who.Name, who.TenantName)
	})
}
