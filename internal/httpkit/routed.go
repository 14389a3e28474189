package httpkit

import (
	"net/http"
	"strings"

	"gatehouse/internal/fault"
)

// Routed serves by mux, and by [ReplyError] what mux has nothing for, where
// net/http would answer in plain text.
func Routed(mux *http.ServeMux) http.Handler {
	return Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := CheckRoute(w, r, mux); err != nil {
			return err
		}
		mux.ServeHTTP(w, r)
		return nil
	})
}

// CheckRoute says why mux has nothing for r: there is nothing at the address
// (fault NotFound), or not for the method (fault Unsupported), and then the
// answer on w names those that there are (RFC 9110 §15.5.6).
func CheckRoute(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) error {
	if _, pattern := mux.Handler(r); pattern != "" {
		return nil
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if _, pattern := mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return ErrNothingHere
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return errMethod
}

// ErrNothingHere answers for addresses that there are not.
var ErrNothingHere = fault.New(fault.NotFound, "nothing-here", "There is nothing at this address. Check its spelling.")

var errMethod = fault.New(fault.Unsupported, "method-not-allowed", "This address does not take this method; the Allow header names those that it takes.")
