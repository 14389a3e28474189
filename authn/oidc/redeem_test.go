package oidc

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"gatehouse/internal/httpkit"
)

// TestP6_AnswersAreNotQuoted: what a provider answers to a request with a secret may be
// that secret, whatever else went wrong.
func TestP6_AnswersAreNotQuoted(t *testing.T) {
	const secret = "the-refresh-token"
	for _, err := range []error{
		&oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusServiceUnavailable, Status: "503 " + secret}, Body: []byte(secret)},
		&oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest, Status: "400 " + secret}, Body: []byte(secret), ErrorCode: secret, ErrorDescription: secret},
		errors.New("401 Unauthorized: " + secret),
	} {
		for _, told := range []error{exchangeFailed(err), refreshFailed(err), unquoted(err)} {
			if strings.Contains(told.Error(), secret) {
				t.Errorf("told: %v", told)
			}
		}
	}
	failed := errors.New("no route to host")
	for _, err := range []error{&url.Error{Op: "Post", URL: "https://idp.example/token", Err: failed}, httpkit.ErrEgressTooLarge} {
		if told := unquoted(err); !errors.Is(told, failed) && !errors.Is(told, httpkit.ErrEgressTooLarge) {
			t.Errorf("it is not told why: %v", told)
		}
	}
}
