package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"

	"gatehouse/identity"
)

// Format is how log lines are written.
type Format string

// The formats: for a person at a terminal, and for a log collector.
const (
	Text Format = "text"
	JSON Format = "json"
)

const redacted = "[redacted]"

// secretKeys are parts of attribute names whose values are never written.
var secretKeys = []string{"token", "secret", "password", "cookie", "authorization", "assertion", "credential", "private"}

// secretValues are shapes of secrets that could ride along in a text: our own
// tokens, JWTs and bearer credentials.
var secretValues = regexp.MustCompile(identity.TokenPrefix + `[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?|(?i:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}`)

// NewLogger writes to w; attributes named like secrets, and texts shaped like
// them, are replaced, whatever room logs them.
func NewLogger(w io.Writer, format Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if format == JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func redact(_ []string, a slog.Attr) slog.Attr {
	key := strings.ToLower(a.Key)
	for _, name := range secretKeys {
		if strings.Contains(key, name) {
			return slog.String(a.Key, redacted)
		}
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, RedactText(a.Value.String()))
	case slog.KindAny:
		// Errors and values are written as text, which is what could leak.
		switch v := a.Value.Any().(type) {
		case error:
			return slog.String(a.Key, RedactText(v.Error()))
		case fmt.Stringer:
			return slog.String(a.Key, RedactText(v.String()))
		}
	}
	return a
}

// RedactText replaces whatever in s is shaped like a secret.
func RedactText(s string) string {
	if !shapedLikeSecret(s) {
		return s
	}
	return secretValues.ReplaceAllString(s, redacted)
}

// shapedLikeSecret reports whether one may be in s: nearly no text has any of what they
// begin with, and the expression is slow.
func shapedLikeSecret(s string) bool {
	if strings.Contains(s, identity.TokenPrefix) || strings.Contains(s, "eyJ") || strings.Contains(s, "ſ") { // which is an "s" without regard to case
		return true
	}
	for at := strings.IndexAny(s, "bB"); at >= 0; at = strings.IndexAny(s, "bB") {
		s = s[at:]
		if begins(s, "bearer") || begins(s, "basic") {
			return true
		}
		s = s[1:]
	}
	return false
}

// begins is strings.HasPrefix without regard to letter case.
func begins(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
