package oauth2

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"gatehouse/authn"
)

// revokePatience is how long taking a token back may hold up the sign-in.
const revokePatience = 5 * time.Second

// grant is a token answer (RFC 6749 §5).
type grant struct {
	token, kind string
	failed      bool
	failure     string
}

// redeem trades the code for an access token (RFC 6749 §4.1.3, RFC 7636 §4.5).
func (q *inquiry) redeem(ctx context.Context, code, verifier, callback string) error {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}
	if verifier != "" {
		form.Set("code_verifier", verifier)
	}
	r, err := q.post(ctx, askToken, q.spec.TokenURL, form)
	if err != nil {
		return err
	}
	d, err := q.read(r)
	if err != nil {
		return err
	}
	g, err := d.grant()
	if err != nil {
		return err
	}
	q.token = g.token
	return all(q.checks.grants, g)
}

func (d *document) grant() (grant, error) {
	object, ok := d.value.(map[string]any)
	if !ok {
		return grant{}, authn.Refuse(authn.Malformed, "The identity provider's answer about %s is no object.", d.asked)
	}
	failure, failed := object["error"]
	return grant{token: wordOf(object["access_token"]), kind: wordOf(object["token_type"]), failed: failed, failure: wordOf(failure)}, nil
}

// errorName is what a refused token request says of why (RFC 6749 §5.2).
func (r *reply) errorName() string {
	d, err := inspect(r)
	if err != nil || d.depth > maxDepth || d.decode() != nil {
		return errorName("")
	}
	return errorName(wordOf(at(d.value, "error")))
}

// revoke takes the token back where that can be asked for (RFC 7009 §2.1): it was
// good for one question. If that fails the person is signed in all the same.
func (q *inquiry) revoke(ctx context.Context) {
	if q.spec.RevocationURL == "" || q.token == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokePatience)
	defer cancel()
	r, err := q.post(ctx, askRevocation, q.spec.RevocationURL, url.Values{"token": {q.token}, "token_type_hint": {"access_token"}})
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("oauth2: status %d", r.status)
	}
	if err != nil {
		q.log.WarnContext(ctx, "access token was not revoked", "connection", q.connection, "error", err)
	}
}
