package oidc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/authn"
	"gatehouse/tenants"
)

const (
	maxSubject = 255 // OpenID Connect Core §2
	maxValues  = 1000
)

// claims are what a provider says of a person, by name.
type claims map[string]json.RawMessage

// person says who a verified id token is about, with what there is besides.
func (p *Protocol) person(ctx context.Context, c tenants.Connection, idp *provider, id *gooidc.IDToken, token *oauth2.Token) (authn.Assertion, error) {
	said := claims{}
	if err := id.Claims(&said); err != nil {
		return authn.Assertion{}, authn.Refuse(authn.Malformed, "The id token's claims cannot be read.").Because(err)
	}
	if said.lack(c) && idp.UserInfoEndpoint() != "" && token.AccessToken != "" {
		if err := p.ask(ctx, idp, id.Subject, token, said); err != nil {
			return authn.Assertion{}, err
		}
	}
	if groups := cmp.Or(c.OIDC.Claims.Groups, "groups"); said.overage(groups) && token.AccessToken != "" {
		p.fetchGroups(ctx, c.OIDC, said, groups, token.AccessToken)
	}
	a := said.assertion(id.Subject, c.OIDC.Claims)
	a.Issuer = id.Issuer
	// A provider that has the claim answers with it (§3.1.2.1): without, what was asked
	// may have been lost on the way through the browser. Whoever does not say which
	// claims they have may have it.
	a.Undated = said["auth_time"] == nil && len(idp.metadata.Claims) > 0 && !slices.Contains(idp.metadata.Claims, "auth_time")
	return a, nil
}

// lack reports whether a claim is missing that something here goes by: many providers
// keep the id token small. Groups that are to be had elsewhere are not missing.
func (c claims) lack(of tenants.Connection) bool {
	names := of.OIDC.Claims
	groups := cmp.Or(names.Groups, "groups")
	wanted := []string{names.Name, names.Groups} // where a claim is named, it is wanted
	if len(of.Admits.Groups) > 0 {
		wanted = append(wanted, groups)
	}
	for _, rule := range of.GroupRules {
		wanted = append(wanted, rule.Claim)
	}
	return c.text(cmp.Or(names.Email, "email")) == "" || slices.ContainsFunc(wanted, func(name string) bool {
		return name != "" && c[name] == nil && (name != groups || !c.overage(groups))
	})
}

// ask adds what the userinfo endpoint says (OpenID Connect Core §5.3).
func (p *Protocol) ask(ctx context.Context, idp *provider, subject string, token *oauth2.Token, said claims) error {
	info, err := idp.UserInfo(gooidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(token))
	if err != nil {
		return authn.Refuse(authn.ProviderUnreachable, "The identity provider does not tell about the person.").Because(unquoted(err))
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return authn.Refuse(authn.Malformed, "The userinfo claims cannot be read.").Because(err)
	}
	if more.text("sub") != subject { // go-oidc would take "Sub" for it
		// §5.3.2: otherwise it is about somebody else.
		return authn.Refuse(authn.SubjectUnusable, "The userinfo endpoint answered about another subject.")
	}
	switch { // email_verified speaks of the address beside it, and of no other (§5.1)
	case said["email"] == nil && more["email"] != nil:
		delete(said, "email_verified")
	case said["email"] != nil && said.text("email") != more.text("email"):
		delete(more, "email_verified")
	}
	for name, value := range more {
		if _, signed := said[name]; !signed && !slices.Contains(ofAuthentication, name) {
			said[name] = value
		}
	}
	return nil
}

// ofAuthentication are the claims that say how somebody authenticated: only the id
// token can tell, which is of this very sign-in.
var ofAuthentication = []string{"auth_time", "acr", "amr", "sid"}

// assertion says who the claims are about.
func (c claims) assertion(subject string, names tenants.AttributeMap) authn.Assertion {
	return authn.Assertion{
		Subject:       subject,
		Email:         c.text(cmp.Or(names.Email, "email")),
		EmailVerified: c.verified(cmp.Or(names.Email, "email")),
		Name:          cmp.Or(c.text(cmp.Or(names.Name, "name")), c.text("preferred_username")),
		Groups:        c.list(cmp.Or(names.Groups, "groups")),
		AMR:           c.list("amr"),
		ACR:           c.text("acr"),
		AuthTime:      c.authenticated(),
		IDPSession:    c.text("sid"),
		Claims:        c.texts(),
	}
}

// authenticated is when the person has; zero if it is not said. Nobody knows then: the
// token was issued now, but the person may have authenticated days ago.
func (c claims) authenticated() time.Time {
	var at float64
	if json.Unmarshal(c["auth_time"], &at) != nil || at <= 0 {
		return time.Time{}
	}
	return seconds(at)
}

// verified reports whether the address in a claim is verified: email_verified speaks
// of the claim email, and of no other (OpenID Connect Core §5.1).
func (c claims) verified(name string) bool {
	return c.yes("email_verified") && c.text(name) == c.text("email")
}

// ofTheToken are the claims that say whether a token is good (OpenID Connect Core
// §2, RFC 7519 §4.1): of the person they say nothing.
var ofTheToken = []string{"iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash"}

// texts are the claims about the person that are a string, a number, a truth value
// or a list of strings. Where there are too many, those that come first by name are
// kept, so that the same claims always give the same.
func (c claims) texts() map[string][]string {
	kept, left := map[string][]string{}, authn.MaxClaims
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if left == 0 {
			break
		}
		if len(name) > authn.MaxClaim || slices.Contains(ofTheToken, name) {
			continue
		}
		values := slices.DeleteFunc(textsOf(c[name]), func(v string) bool { return len(v) > authn.MaxClaim })
		values = values[:min(len(values), left)]
		if len(values) > 0 {
			kept[name] = values
			left -= len(values)
		}
	}
	return kept
}

// textsOf reads one claim; a number is as the provider wrote it.
func textsOf(raw json.RawMessage) []string {
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return nil
	}
	switch v := value.(type) {
	case string:
		return []string{v}
	case json.Number:
		return []string{v.String()}
	case bool:
		return []string{strconv.FormatBool(v)}
	case []any:
		list := make([]string, 0, len(v))
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil // no list of strings
			}
			list = append(list, text)
		}
		return list
	}
	return nil
}

// text is a claim that is a string; "" otherwise.
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// list is a claim that is a list of strings, or one string.
func (c claims) list(name string) []string {
	var l stringList
	if json.Unmarshal(c[name], &l) != nil {
		return nil
	}
	return l[:min(len(l), maxValues)]
}

// yes is a claim that is true; some providers write it as a string.
func (c claims) yes(name string) bool {
	var b bool
	return json.Unmarshal(c[name], &b) == nil && b || c.text(name) == "true"
}
