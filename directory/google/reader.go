package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// Where Google is.
const (
	apiURL   = "https://admin.googleapis.com"
	tokenURL = "https://oauth2.googleapis.com/token" // #nosec G101 -- an address
)

const (
	maxAnswer = 1 << 20
	// tries is how often one question is asked, with pauses that grow from firstPause to
	// longestPause, whatever Google asks for.
	tries        = 6
	firstPause   = time.Second
	longestPause = time.Minute
	// early is how long before its end a token is not used any more.
	early = time.Minute
)

// reader asks the Directory API in the name of an admin. It is for one reading, and not
// for concurrent use.
type reader struct {
	client     *http.Client
	api, token string // addresses
	key        *key
	admin      string
	now        func() time.Time
	wait       func(context.Context, time.Duration) error
	hasty      bool   // somebody waits for the answer: nothing is asked again
	place      *place // which others may have between two questions

	bearer string
	until  time.Time
}

// problem is an answer of Google that says no.
type problem struct {
	status int
	code   int // as an error of the API has it in its body; 0: it is none
	reason string
	after  time.Duration // Retry-After
}

func (p *problem) Error() string { return fmt.Sprintf("google: status %d, %s", p.status, p.reason) }

// limited reports whether it was asked too often, or for too much at once.
func (p *problem) limited() bool {
	return p.status == http.StatusTooManyRequests || p.status == http.StatusForbidden &&
		slices.Contains([]string{"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"}, p.reason)
}

func (p *problem) passing() bool {
	return p.limited() || p.status >= 500 || p.status == http.StatusUnauthorized || p.status == http.StatusRequestTimeout
}

// missing reports whether Google itself says that there is no such thing: anybody on the
// way may answer with 404.
func (p *problem) missing() bool {
	return p.status == http.StatusNotFound && p.code == http.StatusNotFound && p.reason == "notFound"
}

func isMissing(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.missing()
}

func errAnswer(cause error, what string) error {
	return fault.Wrap(cause, fault.Unavailable, "google-answer-unknown", "Google's answer is not understood: %s. Nobody counts as gone because of it.", what)
}

// get asks once, or again for as long as there is hope, and decodes the answer, which must
// be of a kind.
func (r *reader) get(ctx context.Context, path string, query url.Values, kind string, into any) error {
	if err := r.place.pass(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		data, err := r.once(ctx, path, query)
		if err == nil {
			return decode(data, kind, into)
		}
		p, answered := errors.AsType[*problem](err)
		if answered && p.status == http.StatusUnauthorized {
			r.bearer = "" // revoked, or over before its time
		}
		if _, settled := errors.AsType[*fault.Fault](err); settled || ctx.Err() != nil || answered && !p.passing() || try == tries || r.hasty {
			return r.explain(err)
		}
		pause := min(firstPause<<(try-1), longestPause)
		pause = pause/2 + time.Duration(rand.Int64N(int64(pause))) // #nosec G404 -- nobody gains by guessing it
		if answered && p.after > pause {
			pause = min(p.after, longestPause)
		}
		if err := r.wait(ctx, pause); err != nil {
			return err
		}
	}
}

func (r *reader) once(ctx context.Context, path string, query url.Values) ([]byte, error) {
	if err := r.authorise(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.api+"/admin/directory/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.bearer)
	return r.send(req)
}

// send gives the body of a good answer; the answer of another is a [problem].
func (r *reader) send(req *http.Request) ([]byte, error) {
	req.Header.Set("Accept", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(data) > maxAnswer || errors.Is(err, httpkit.ErrEgressTooLarge) {
		return nil, errAnswer(err, "it is larger than 1 MiB")
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return data, nil
	}
	p := &problem{status: resp.StatusCode}
	p.reason, p.code = reasonOf(data)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		p.after = time.Duration(min(s, 3600)) * time.Second
	}
	return nil, p
}

// reasonOf finds the reason in an error of the API, with its code, or of the token endpoint
// (RFC 6749 §5.2), which has none.
func reasonOf(data []byte) (reason string, code int) {
	var e struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(data, &e) != nil {
		return "", 0
	}
	if json.Unmarshal(e.Error, &reason) == nil {
		return clipped(reason), 0
	}
	var whole struct {
		Code   int `json:"code"`
		Errors []struct {
			Reason string `json:"reason"`
		} `json:"errors"`
		Status string `json:"status"`
	}
	if json.Unmarshal(e.Error, &whole) != nil {
		return "", 0
	}
	if len(whole.Errors) > 0 && whole.Errors[0].Reason != "" {
		return clipped(whole.Errors[0].Reason), whole.Code
	}
	return clipped(whole.Status), whole.Code
}

func clipped(s string) string {
	if !isID(s) {
		return ""
	}
	return s
}

// authorise has an access token, of which none is kept for longer than a reading.
func (r *reader) authorise(ctx context.Context) error {
	if r.bearer != "" && r.now().Before(r.until) {
		return nil
	}
	assertion, err := r.key.assertion(r.admin, r.token, r.now())
	if err != nil {
		return fmt.Errorf("google: assertion: %w", err)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.token, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	data, err := r.send(req)
	if p, answered := errors.AsType[*problem](err); answered && !p.limited() && p.status < 500 {
		return r.refused(p)
	}
	if err != nil {
		return err
	}
	var granted struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
	}
	if json.Unmarshal(data, &granted) != nil || granted.Token == "" || len(granted.Token) > 8192 || !isPrintable(granted.Token) || !strings.EqualFold(granted.Type, "Bearer") {
		return errAnswer(nil, "there is no access token in it")
	}
	r.bearer, r.until = granted.Token, r.now().Add(time.Duration(min(max(granted.Expires, 0), 3600))*time.Second-early)
	return nil
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// refused says why there is no access token.
func (r *reader) refused(p *problem) error {
	switch p.reason {
	case "unauthorized_client", "access_denied":
		return fault.Wrap(p, fault.Denied, "google-not-delegated", "Google lets the service account read nothing. In the Admin console, under Security > API controls > Domain-wide delegation, add the client %s with the scopes %s.",
			r.key.ClientID, strings.ReplaceAll(scopes, " ", ", "))
	case "invalid_grant":
		return fault.Wrap(p, fault.Denied, "google-key-refused", "Google refuses the key. It may have been deleted at Google, %s may be nobody there any more, or this machine's clock is wrong.", r.admin)
	}
	return fault.Wrap(p, fault.Denied, "google-key-refused", "Google gives out no access token (%s): look at the service account and its key.", p.reason)
}

// explain turns what went wrong into what an admin can do about it.
func (r *reader) explain(err error) error {
	p, answered := errors.AsType[*problem](err)
	_, settled := errors.AsType[*fault.Fault](err)
	switch {
	case settled:
		return err
	case !answered:
		return fault.Wrap(err, fault.Unavailable, "google-unreachable", "Google cannot be reached. It is tried again.")
	case p.limited():
		return fault.Wrap(err, fault.Unavailable, "google-quota", "Google wants to be asked less often (%s). It is tried again; if it stays so, raise the quota of the Admin SDK API in the Google Cloud console.", p.reason)
	case p.status == http.StatusUnauthorized:
		return fault.Wrap(err, fault.Denied, "google-key-refused", "Google does not accept its own access token any more: look at the service account and its delegation.")
	case p.reason == "accessNotConfigured" || p.reason == "SERVICE_DISABLED":
		return fault.Wrap(err, fault.Denied, "google-api-off", "The Admin SDK API is not enabled in the Google Cloud project of the service account: enable it there.")
	case p.status == http.StatusForbidden:
		return fault.Wrap(err, fault.Denied, "google-forbidden", "%s may not read the account (%s): give them an admin role with the rights to read users and groups.", r.admin, p.reason)
	case p.status == http.StatusNotFound && !p.missing():
		return errAnswer(err, "it is a 404 that is none of the Directory API's")
	case p.status == http.StatusNotFound:
		return fault.Wrap(err, fault.Denied, "google-not-found", "Google does not know the account, or what is asked for: look at the customer id.")
	}
	return fault.Wrap(err, fault.Unavailable, "google-unreachable", "Google answers with status %d. It is tried again.", p.status)
}

// decode reads an answer of a kind; "": of one that has none.
func decode(data []byte, kind string, into any) error {
	var head struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return errAnswer(err, "it is not the JSON that it should be")
	}
	if kind != "" && head.Kind != kind {
		return errAnswer(nil, fmt.Sprintf("it is of the kind %.64q rather than %q", head.Kind, kind))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errAnswer(err, "it is not the JSON that it should be")
	}
	return nil
}

// waitFor is [reader.wait] by the clock.
func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
