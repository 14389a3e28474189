package machine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/strict"
	"gatehouse/internal/fault"
)

const (
	// introspectTime bounds one answer.
	introspectTime = 5 * time.Second
	// introspectedFor is how long an answer counts: a token that its server takes back
	// is good for as long here.
	introspectedFor = 10 * time.Second
	// openFor is how long something stays open by a token that does not say when it
	// expires.
	openFor = time.Hour
	// maxAnswer bounds an answer.
	maxAnswer = 64 << 10
)

// introspect asks the authorization server of a token (RFC 7662 §2). Several that
// show the same one at once wait for the same answer, at the place of whoever came
// first.
func (v *Verifier) introspect(ctx context.Context, s *snapshot, key digest, token string) (verdict, error) {
	if !isBearer(token) {
		return verdict{}, answer(authn.Refuse(authn.Malformed, "This is not the form of a bearer token."), fault.ForeignToken, badToken)
	}
	if known, ok := s.bad.get(key, v.now()); ok {
		return verdict{}, known.err
	}
	from := askerOf(ctx, s.tenant)
	asking := s.inquiries.DoChan(string(key[:]), func() (_ any, err error) {
		defer func() { err = answered(err) }()
		defer contain(&err)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), introspectTime)
		defer cancel()
		leave, err := v.waiting.place(ctx, from, key, v.now())
		if err != nil {
			return verdict{}, err
		}
		defer leave()
		return v.inquire(ctx, s, from, key, token)
	})
	select {
	case result := <-asking:
		known, _ := result.Val.(verdict)
		return known, result.Err
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	}
}

// answered is an error as whoever shows the token is answered it.
func answered(err error) error {
	if err == nil {
		return nil
	}
	return answer(err, fault.InvalidToken, badToken)
}

// inquire asks by each client that there is until one is told that the token is
// active, and remembers the answer.
func (v *Verifier) inquire(ctx context.Context, s *snapshot, from asker, key digest, token string) (verdict, error) {
	var err error
	for i := range s.asked {
		var claims strict.Object
		if claims, err = v.ask(ctx, &s.asked[i], token); err != nil {
			break
		}
		if claims == nil {
			continue
		}
		known, refusal := v.believe(s, s.asked[i].rules, claims)
		if refusal != nil {
			err = refusal
			break
		}
		s.good.put(key, known)
		v.waiting.good(from, key, v.now())
		return known, nil
	}
	if err != nil {
		err = answer(err, fault.InvalidToken, badToken)
	} else {
		err = answer(authn.Refuse(inactiveToken, "The authorization server says that the token is not active, or knows none such."), fault.ForeignToken, badToken)
	}
	if fault.Is(err, fault.Unauthenticated) {
		s.bad.put(key, verdict{err: err, until: v.now().Add(refuseFor)})
		v.waiting.regulars.drop(s.tenant, key)
	}
	return verdict{}, err
}

// ask gives what the server says of a token; nil: it is not active. What it does
// not say clearly is no answer.
func (v *Verifier) ask(ctx context.Context, i *inquiry, token string) (strict.Object, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The introspection endpoint is no address.").Because(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(i.clientID), url.QueryEscape(i.secret)) // RFC 6749 §2.3.1
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnreachable, "The authorization server cannot be asked about tokens.").Because(err)
	}
	defer func() { _ = resp.Body.Close() }() // the body was read, or is not wanted
	if resp.StatusCode != http.StatusOK {
		return nil, authn.Refuse(authn.ProviderUnusable, "The authorization server does not answer about tokens.").Because(fmt.Errorf("machine: introspection: %s", resp.Status))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnreachable, "The authorization server's answer about a token breaks off.").Because(err)
	}
	if len(raw) > maxAnswer {
		return nil, authn.Refuse(authn.ProviderUnusable, "The authorization server's answer about a token is too long.")
	}
	said, err := strict.Parse(raw)
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The authorization server's answer about a token cannot be read in one way alone.").Because(err)
	}
	active, ok := said["active"].(bool)
	switch {
	case !ok:
		return nil, authn.Refuse(authn.ProviderUnusable, "The authorization server does not say whether the token is active.")
	case !active:
		return nil, nil
	}
	return said, nil
}

// believe finds whose a token is by what its server says of it, which must be what
// it would have to say itself.
func (v *Verifier) believe(s *snapshot, rules []askedRule, said strict.Object) (verdict, *authn.Refusal) {
	now := v.now()
	if kind := said.Text("token_type"); said.Has("token_type") && !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "access_token") {
		return verdict{}, authn.Refuse(wrongType, "The authorization server says that the token is no bearer token.")
	}
	expires := now.Add(openFor)
	if said.Has("exp") {
		until, refusal := validTimes(registered{said}, now)
		if refusal != nil {
			return verdict{}, refusal
		}
		expires = earlier(expires, until)
	} else if nbf, ok := said.Seconds("nbf"); said.Has("nbf") && (!ok || nbf.After(now.Add(skew))) {
		return verdict{}, authn.Refuse(authn.NotYetValid, "The token is not good yet; one of the clocks may be wrong.")
	}
	bound, refusal := bindingOf(said)
	if refusal != nil {
		return verdict{}, refusal
	}
	h, refusal := holderOf(rules, said)
	if refusal != nil {
		return verdict{}, refusal
	}
	return verdict{principal: v.recognised(s, h, expires), bound: bound, until: earlier(expires, now.Add(introspectedFor))}, nil
}

func holderOf(rules []askedRule, said strict.Object) (found *holder, refusal *authn.Refusal) {
	audiences, subject, names := said.Texts("aud"), said.Text("sub"), clients(said)
	issued, meant := false, false
	for _, r := range rules {
		if r.issuer != "" && said.Text("iss") != r.issuer {
			continue
		}
		issued = true
		if !matches(r.Claims, audiences, subject, names) {
			meant = meant || slices.Contains(audiences, r.Audience)
			continue
		}
		if found != nil && found.id != r.id {
			return nil, authn.Refuse(ambiguousToken, "The token would be that of two services, %s and %s.", found.name, r.name)
		}
		found = r.holder
	}
	switch {
	case found != nil:
		return found, nil
	case !issued:
		return nil, authn.Refuse(authn.WrongIssuer, "The token was issued by another authorization server.")
	case !meant:
		return nil, authn.Refuse(authn.WrongAudience, "The token was made for another audience than this app.")
	}
	return nil, authn.Refuse(unknownClient, "The token is of a client or subject that is no service here.")
}

// isBearer reports whether a text is of the form of RFC 6750 §2.1.
func isBearer(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") == ""
}
