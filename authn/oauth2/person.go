package oauth2

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gatehouse/authn"
)

// maxNesting is how deep in objects claims are told of: as deep as a path of the
// connection's may lead.
const maxNesting = 8

// subject is the provider's id of a person: a name, or a whole number.
type subject struct {
	named, whole bool
	text         string
}

// address is one of a person's email addresses.
type address struct {
	email             string
	primary, verified bool
}

// answered is all that a provider has said of a person.
type answered struct {
	groups        []string
	before, after string // the subject, first and last
}

// person asks who the token belongs to. Where that takes several questions, the
// first is asked once more at the end: what was said meanwhile names nobody.
func (q *inquiry) person(ctx context.Context) (authn.Assertion, error) {
	me, id, err := q.me(ctx)
	if err != nil {
		return authn.Assertion{}, err
	}
	names := q.spec.Claims
	a := authn.Assertion{Subject: id, Undated: true, Claims: map[string][]string{}}
	a.Name = cmp.Or(wordOf(at(me, names.Name)), wordOf(at(me, "preferred_username")), wordOf(at(me, "login")))
	if a.Email, a.EmailVerified, err = q.email(ctx, me); err != nil {
		return authn.Assertion{}, err
	}
	if a.Groups, err = q.groups(ctx, me); err != nil {
		return authn.Assertion{}, err
	}
	said := answered{groups: a.Groups, before: id, after: id}
	if q.spec.EmailsURL != "" || len(q.spec.GroupsFrom) > 0 {
		if _, said.after, err = q.me(ctx); err != nil {
			return authn.Assertion{}, err
		}
	}
	if err := all(q.checks.answers, said); err != nil {
		return authn.Assertion{}, err
	}
	a.Claims = q.claims(me, a)
	return a, nil
}

// me asks the user API.
func (q *inquiry) me(ctx context.Context) (value any, id string, err error) {
	r, err := q.get(ctx, askPerson, q.spec.UserinfoURL)
	if err != nil {
		return nil, "", err
	}
	d, err := q.read(r)
	if err != nil {
		return nil, "", err
	}
	q.seen.Take(func() authn.Reading { return q.reading(d.value) })
	said := at(d.value, q.spec.Claims.Subject)
	_, named := said.(string)
	s := subject{named: named, whole: isWhole(said), text: text(said)}
	return d.value, s.text, all(q.checks.subjects, s)
}

// email gives a person's address, and whether the provider says in so many words
// that it is theirs: true, and nothing that may be taken for it.
func (q *inquiry) email(ctx context.Context, me any) (email string, verified bool, err error) {
	if q.spec.EmailsURL == "" {
		verified, _ := at(me, q.spec.Claims.EmailVerified).(bool)
		return wordOf(at(me, q.spec.Claims.Email)), verified, nil
	}
	entries, err := q.list(ctx, askEmails, q.spec.EmailsURL)
	if err != nil {
		return "", false, err
	}
	var addresses []address
	for _, entry := range entries {
		a := address{email: wordOf(at(entry, "email"))}
		a.primary, _ = at(entry, "primary").(bool)
		a.verified, _ = at(entry, "verified").(bool)
		addresses = append(addresses, a)
	}
	if err := all(q.checks.addresses, addresses); err != nil {
		return "", false, err
	}
	if i := slices.IndexFunc(addresses, func(a address) bool { return a.primary }); i >= 0 {
		return addresses[i].email, addresses[i].verified && addresses[i].email != "", nil
	}
	return "", false, nil
}

// claims are what the provider says of a person, as text, by name or path. Where
// addresses or groups were asked for, that is what the rules of a connection go by:
// a profile may show what its owner has written.
func (q *inquiry) claims(me any, a authn.Assertion) map[string][]string {
	said := map[string][]string{}
	if object, ok := me.(map[string]any); ok {
		tell(said, "", object, maxNesting)
	}
	if q.spec.EmailsURL != "" {
		delete(said, "email")
		if a.EmailVerified {
			said["email"] = []string{a.Email}
		}
	}
	if len(q.spec.GroupsFrom) > 0 {
		said["groups"] = a.Groups
	}
	kept, left := map[string][]string{}, authn.MaxClaims
	for _, name := range slices.Sorted(maps.Keys(said)) { // the same ones of too many, every time
		values := slices.DeleteFunc(slices.Clone(said[name]), func(v string) bool { return len(v) > authn.MaxClaim })
		if values = values[:min(len(values), left)]; len(values) > 0 {
			kept[name] = values
			left -= len(values)
		}
	}
	return kept
}

// reading is what the user API has said, for a test of the connection: by a token of
// this very sign-in, so it is the provider's word, whatever is wrong with it.
func (q *inquiry) reading(me any) authn.Reading {
	path := q.spec.Claims.Subject
	return authn.Reading{Believed: true, Claims: q.claims(me, authn.Assertion{}), Marks: []authn.Mark{
		{Name: "Claim that names the subject", Received: []string{path}, Believed: true}, {Name: "Subject", Received: []string{text(at(me, path))}, Believed: true}}}
}

// tell adds what a value says under a path.
func tell(said map[string][]string, path string, value any, depth int) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if depth > 0 && name != "" && !strings.Contains(name, ".") && len(path)+len(name) < authn.MaxClaim { // which no path leads to
				tell(said, strings.TrimPrefix(path+"."+name, "."), member, depth-1)
			}
		}
	case []any:
		list := make([]string, 0, len(v))
		for _, one := range v {
			if label(one) == "" {
				return // no list of names
			}
			list = append(list, label(one))
		}
		said[path] = list
	case bool:
		said[path] = []string{strconv.FormatBool(v)}
	case nil:
	default:
		said[path] = []string{text(v)}
	}
}
