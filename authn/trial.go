package authn

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

// paramTest carries the token of [hopTest].
const paramTest = "test"

// test is a try of a connection: what comes of it is shown, and nobody signed in.
type test struct {
	By     audit.Actor `json:"by"`               // whom the record names
	Back   string      `json:"back,omitempty"`   // a page of ours to go on to; or ""
	People bool        `json:"people,omitempty"` // whether they may learn who is known here

	seen Reading // of the answer
}

// Test prepares a try of a connection, enabled or not: whoever opens the address on
// the tenant's host within ten minutes, once, is sent to the identity provider and
// then shown what came back, and, with people, whom it would sign in. It leaves
// nothing but records behind.
func (s *Service) Test(ctx context.Context, by audit.Actor, tenant identity.TenantID, c tenants.Connection, people bool) (path string, until time.Time, err error) {
	return s.prepareTest(ctx, tenant, c, test{By: by, People: people})
}

// TestByLink is [Service.Test] for whoever holds a set-up link, with a way back to a
// page of ours. What they are shown goes by the connection's rules alone: it is the
// same, whoever is known here.
func (s *Service) TestByLink(ctx context.Context, by audit.Actor, tenant identity.TenantID, c tenants.Connection, back string) (path string, until time.Time, err error) {
	return s.prepareTest(ctx, tenant, c, test{By: by, Back: back})
}

func (s *Service) prepareTest(ctx context.Context, tenant identity.TenantID, c tenants.Connection, t test) (path string, until time.Time, err error) {
	if _, ours := s.protocols[c.Type].(Host); ours || s.protocols[c.Type] == nil {
		return "", time.Time{}, fault.New(fault.Conflict, "no-test", "Connections of this type cannot be tested.")
	}
	token := newToken()
	if err := s.flows.put(ctx, tenant, token, "", c.ID, flow{Hop: hopTest, Test: &t}); err != nil {
		return "", time.Time{}, storeDown(err)
	}
	return pathLogin + "?" + url.Values{"connection": {c.Name}, paramTest: {token}}.Encode(), s.now().Add(stepLife).UTC(), nil
}

// testedFor is how long a test that went well is remembered.
const testedFor = 24 * time.Hour

// Tested reports whether a connection, as it is now, was tried lately and somebody
// would have got in.
func (s *Service) Tested(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (bool, error) {
	return s.flows.remembers(ctx, tenant, testOf(c))
}

// testOf names a good test of this version of a connection.
func testOf(c tenants.Connection) []byte {
	return hash("tested", string(c.ID), strconv.FormatUint(c.Version, 10))
}

// beginTest begins what [Service.Test] has prepared.
func (s *Service) beginTest(w http.ResponseWriter, r *http.Request, name, token string) error {
	err := s.served(r)
	var c tenants.Connection
	if err == nil {
		c, err = s.tenants.Connection(r.Context(), tenantOf(r), name)
		if fault.Is(err, fault.NotFound) {
			err = errNotOpen
		}
	}
	var state flow
	if err == nil {
		state, err = s.flows.take(r.Context(), tenantOf(r), token, "", hopTest, c.ID)
	}
	if err != nil {
		return s.refuse(w, r, c, err)
	}
	return s.begin(w, r, c, wish{returnTo: "/", test: state.Test})
}

// turnDown is the end of a sign-in, or of a test, that came to nothing.
func (s *Service) turnDown(w http.ResponseWriter, r *http.Request, c tenants.Connection, t *test, err error) error {
	if t == nil {
		return s.refuse(w, r, c, err)
	}
	return s.showTest(w, r, c, t, nil, err)
}

// showTest shows what the provider has said of whoever tried the connection, and
// what would have become of it; a is nil if it was not accepted, for the reason err:
// then it shows what has been read by then, and what of that is not verified.
func (s *Service) showTest(w http.ResponseWriter, r *http.Request, c tenants.Connection, t *test, a *Assertion, err error) error {
	ctx, tenant, say := r.Context(), tenantOf(r), words.For(r)
	var verdict string
	if a != nil {
		verdict, err = s.foresee(ctx, say, tenant, c, t, a)
	}
	e := s.event(r, audit.ConnectionTested, audit.Success, c)
	e.Actor = t.By
	page := httpkit.Page{Title: say.Say("The connection %s works", c.Title()), Lead: verdict}
	if err != nil {
		refusal, _, ok := refusalOf(err)
		if !ok {
			return err
		}
		e.Outcome, e.Reason, e.Message = audit.Refused, string(refusal.Reason), refusal.Message
		page.Title, page.Lead = say.Say("The connection %s does not let this person in", c.Title()), say.Tell(refusal.Sentence())
		if a == nil {
			page.Title = say.Say("The connection %s does not work yet", c.Title())
		}
		page.Facts = append(page.Facts, httpkit.Fact{Name: "Reason", Value: string(refusal.Reason)})
	}
	if t.Back != "" {
		page.Links = []httpkit.Link{{Text: "Back to the set-up", Href: t.Back}}
	}
	receipt, err := s.refusals.Record(ctx, e)
	if err != nil {
		return err
	}
	if e.Outcome == audit.Success {
		if _, err := s.flows.remember(ctx, tenant, testOf(c), s.now().Add(testedFor)); err != nil {
			return err
		}
	}
	page.Facts = append(page.Facts, httpkit.Fact{Name: "Event", Value: string(receipt.Event())})
	claims, believed := t.seen.Claims, t.seen.Believed
	if a != nil {
		claims, believed = a.Claims, true
	}
	page.Body, err = body(r, "test.html", struct {
		Said, Claims []httpkit.Fact
		Marks        []mark
		Unverified   bool // what Claims say
		Closes       bool
	}{said(say, a), claimed(say, claims), t.seen.marks(say), !believed, t.Back == ""})
	if err != nil {
		return err
	}
	s.page(w, r, page)
	return nil
}

// foresee says in plain words what would have become of a sign-in: whose, only to
// those who may learn that.
func (s *Service) foresee(ctx context.Context, say *words.Language, tenant identity.TenantID, c tenants.Connection, t *test, a *Assertion) (string, error) {
	if err := s.admitted(ctx, tenant, c, a); err != nil {
		return "", err
	}
	if t, ok := s.tenants.ByID(tenant); ok && !t.Settings.Session.Admits(httpkit.RequestFrom(ctx).ClientIP) {
		return "", errNetwork
	}
	if c.DefaultRole != "" { // whoever tries it: others would come for the first time
		if err := roleUnusable(s.roles.CheckDefault(ctx, tenant, c.DefaultRole)); err != nil {
			return "", err
		}
	}
	in := arrival(c, a)
	if !t.People {
		if err := in.Usable(); err != nil {
			return "", err
		}
		return byRules(say, c), nil
	}
	user, created, err := s.directory.Foresee(ctx, tenant, in)
	if err == nil {
		err = s.elsewhere(ctx, tenant, c, user.Email)
	}
	if err != nil {
		return "", err
	}
	name := cmp.Or(user.DisplayName, user.UserName)
	if created {
		return say.Say("Nothing was changed and nobody is signed in. At a real sign-in, a new person would be made: %s.", name), nil
	}
	return say.Say("Nothing was changed and nobody is signed in. At a real sign-in, this would be %s, who is known here.", name), nil
}

// byRules says how a connection lets people in, of nobody in particular.
func byRules(say *words.Language, c tenants.Connection) string {
	if c.Unknown == tenants.RefuseUnknown {
		return say.Say("Nothing was changed and nobody is signed in. The rules of this connection let people like this one in if an administrator, or provisioning, has added them before. Whether that is so is not shown here.")
	}
	return say.Say("Nothing was changed and nobody is signed in. The rules of this connection let people like this one in. A person whose address is known here from elsewhere comes in only if an administrator has allowed that. Whether that is so is not shown here.")
}

// said is what a provider has said, as the connection understands it.
func said(say *words.Language, a *Assertion) []httpkit.Fact {
	if a == nil {
		return nil
	}
	none := say.Say("none")
	email := cmp.Or(a.Email, none)
	if a.Email != "" && !a.EmailVerified {
		email = say.Say("%s (not verified, so it does not count)", a.Email)
	}
	groups := say.Say("nothing is said of groups")
	if a.Groups != nil {
		groups = cmp.Or(shown(say, a.Groups), none)
	}
	facts := []httpkit.Fact{{Name: "Subject", Value: a.Subject}, {Name: "Email", Value: email}, {Name: "Name", Value: cmp.Or(a.Name, none)},
		{Name: "Groups", Value: groups}}
	if len(a.AMR) > 0 {
		facts = append(facts, httpkit.Fact{Name: "Authenticated by", Value: shown(say, a.AMR)})
	}
	if a.ACR != "" {
		facts = append(facts, httpkit.Fact{Name: "Class", Value: a.ACR})
	}
	if !a.AuthTime.IsZero() {
		facts = append(facts, httpkit.Fact{Name: "Authenticated at", Value: say.When(a.AuthTime)})
	}
	return facts
}

// claimed is everything that a provider has said, by name.
func claimed(say *words.Language, claims map[string][]string) (facts []httpkit.Fact) {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		facts = append(facts, httpkit.Fact{Name: name, Value: shown(say, claims[name])})
	}
	return facts
}

// shown joins values for a page, as many as one reads.
func shown(say *words.Language, values []string) string {
	const most = 100
	if more := len(values) - most; more > 0 {
		return say.Say("%s and %d more", strings.Join(values[:most], ", "), more)
	}
	return strings.Join(values, ", ")
}
