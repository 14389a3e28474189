package authn_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// TestP6_WhatProvidersEchoStaysOut: a provider that answers with what it was sent has
// the code, the client's secret and tokens shown neither on a page nor in the journal or
// the log; nor does one fill the log that answers at length.
func TestP6_WhatProvidersEchoStaysOut(t *testing.T) {
	var log bytes.Buffer
	w := newWorldWith(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	echo := func(status int, media string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			sent, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "echoed %s %s", r.Header.Get("Authorization"), sent)
		}
	}
	var pages strings.Builder
	for _, at := range []string{atTokenEndpoint, atUserinfo} {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway} {
			for _, media := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "application/jwt"} {
				idp := newIssuer(t)
				claimed("email", nil)(idp) // so that userinfo is asked for
				idp.front = map[string]http.HandlerFunc{at: echo(status, media)}
				w.connections.put(idp.connection())
				p := w.browser().open("/")
				p.has(t, p.status, "You are not signed in")
				pages.WriteString(p.body)
			}
		}
	}
	w.journal.mu.Lock()
	events := fmt.Sprintf("%+v", w.journal.events)
	w.journal.mu.Unlock()
	if !strings.Contains(log.String(), "provider-unreachable") {
		t.Error("the log tells nothing")
	}
	for where, text := range map[string]string{"a page": pages.String(), "the journal": events, "the log": log.String()} {
		for _, secret := range []string{"echoed", "c0de", clientSecret, "Bearer at"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}

	log.Reset()
	idp := newIssuer(t)
	idp.front = map[string]http.HandlerFunc{atDiscovery: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(bytes.Repeat([]byte("no "), 200<<10))
	}}
	w.connections.put(idp.connection())
	w.browser().open("/").has(t, http.StatusBadGateway, "You are not signed in")
	if n := log.Len(); n == 0 || n > 16<<10 {
		t.Errorf("%d bytes are logged", n)
	}
}
