package oauth2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// question is what a provider is asked for.
type question string

const (
	askToken  question = "the token"
	askPerson question = "the person"
	askEmails question = "the addresses"
	askGroups question = "the groups"

	askRevocation question = "the end of the token"
)

// Parts has pages say it in their language.
func (q question) Parts() (format string, args []any) { return string(q), nil }

// limit is how many bytes the answer may have: a page of 100 teams takes 250 KiB.
func (q question) limit() int {
	switch q {
	case askToken:
		return 64 << 10
	case askPerson:
		return 256 << 10
	}
	return 512 << 10
}

// unusable is why an answer cannot be used that is not what was asked for.
func (q question) unusable() authn.Reason {
	switch q {
	case askEmails:
		return authn.EmailUnusable
	case askGroups:
		return authn.GroupsUnusable
	}
	return authn.Malformed
}

const (
	mediaJSON = "application/json"
	mediaForm = "application/x-www-form-urlencoded"
)

// reply is an answer over HTTP, of which no more is read than can be good.
type reply struct {
	asked  question
	status int
	media  string // without parameters
	body   []byte
	links  []string // the Link fields
}

// isJSON goes by the media type (RFC 6839 §3.1 for +json).
func (r *reply) isJSON() bool {
	return r.media == mediaJSON || strings.HasPrefix(r.media, "application/") && strings.HasSuffix(r.media, "+json")
}

// get asks an address of the connection's in the person's name.
func (q *inquiry) get(ctx context.Context, asked question, address string) (*reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, unreachable(asked, err)
	}
	req.Header.Set("Authorization", "Bearer "+q.token)
	return q.send(req, asked)
}

// post sends a form as the connection's client (RFC 6749 §2.3.1).
func (q *inquiry) post(ctx context.Context, asked question, address string, form url.Values) (*reply, error) {
	basic := q.spec.ClientAuth == tenants.ClientSecretBasic && q.spec.ClientSecret != ""
	if !basic {
		form.Set("client_id", q.spec.ClientID)
		if q.spec.ClientSecret != "" {
			form.Set("client_secret", q.spec.ClientSecret)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, unreachable(asked, err)
	}
	req.Header.Set("Content-Type", mediaForm)
	if basic {
		req.SetBasicAuth(url.QueryEscape(q.spec.ClientID), url.QueryEscape(q.spec.ClientSecret))
	}
	return q.send(req, asked)
}

func (q *inquiry) send(req *http.Request, asked question) (*reply, error) {
	req.Header.Set("Accept", mediaJSON)
	req.Header.Set("User-Agent", "gatehouse") // there are APIs that refuse requests without one of their client's own
	resp, err := q.client.Do(req)
	if err != nil {
		return nil, unreachable(asked, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := &reply{asked: asked, status: resp.StatusCode, links: resp.Header.Values("Link")}
	r.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, int64(asked.limit())+1)); err != nil {
		return nil, unreachable(asked, err)
	}
	return r, nil
}

// unreachable tells of an answer that did not come. The address stays out of it: a
// provider chooses that of a next page.
func unreachable(asked question, err error) error {
	if errors.Is(err, httpkit.ErrEgressTooLarge) {
		return tooLarge(asked).Because(err)
	}
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	return authn.Refuse(authn.ProviderUnreachable, "The identity provider did not answer the request for %s.", asked).Because(err)
}
