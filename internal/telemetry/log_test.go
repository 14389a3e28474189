package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestP6_LogsHideSecrets(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
	const apiToken = "gh_0123456789abcdefghijklmnopqrstuvwxyz"
	for _, format := range []Format{Text, JSON} {
		var out bytes.Buffer
		log := NewLogger(&out, format, slog.LevelDebug)
		log.Info("sign-in with "+apiToken,
			"session_cookie", "c00kie-value",
			"Authorization", "Bearer abcdefghijkl",
			"header", "Authorization: Bearer abcdefghijkl",
			"error", errors.New("refused "+jwt),
			"harmless", "acme")
		line := out.String()
		for _, secret := range []string{jwt, apiToken, "c00kie-value", "abcdefghijkl"} {
			if strings.Contains(line, secret) {
				t.Errorf("%s: %q stands in %s", format, secret, line)
			}
		}
		if !strings.Contains(line, "acme") {
			t.Errorf("%s: a harmless value was lost: %s", format, line)
		}
	}
}
