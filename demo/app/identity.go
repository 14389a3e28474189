package app

import (
	"maps"
	"net/http"

	"gatehouse/assertion"
)

// whoami answers with everything that arrived, and with what of it is proven.
func (a *App) whoami(w http.ResponseWriter, r *http.Request) {
	headers := maps.Clone(r.Header)
	headers["Host"] = []string{r.Host} // net/http keeps it apart
	answer := struct {
		Method   string              `json:"method"`
		Path     string              `json:"path"`
		Headers  map[string][]string `json:"headers"`
		Verified bool                `json:"verified"`
		Claims   *assertion.Wire     `json:"claims"`
		Error    string              `json:"error,omitempty"`
	}{Method: r.Method, Path: r.RequestURI, Headers: headers}
	claims, err := a.verifier.Request(r)
	if err != nil {
		answer.Error = err.Error()
	} else {
		answer.Verified, answer.Claims = true, claims.ToWire()
	}
	writeJSON(w, http.StatusOK, answer)
}

// tenant is the tenant of a request by its verified assertion. The route is
// behind the gate, so a request without one did not come through it.
func (a *App) tenant(w http.ResponseWriter, r *http.Request) (claims assertion.Claims, ok bool) {
	claims, err := a.verifier.Request(r)
	if err != nil {
		a.log.Warn("request without a valid assertion", "path", r.URL.Path, "error", err)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "no valid identity from the gate"})
		return claims, false
	}
	return claims, true
}
