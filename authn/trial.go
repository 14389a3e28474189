package authn

import (
	"cmp"
	"context"
	"fmt"
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
	"gatehouse/tenants"
)

// paramTest carries the token of [hopTest].
const paramTest = "test"

// test is a try of a connection: what comes of it is shown, and nobody signed in.
type test struct {
	By   audit.Actor `json:"by"`             // whom the record names
	Back string      `json:"back,omitempty"` // a page of ours to go on to; or ""
}

// Test prepares a try of a connection, enabled or not: whoever opens the address on
// the tenant's host within ten minutes, once, is sent to the identity provider and
// then shown what came back, with a way on to a page of ours, if there is one to go
// back to. It leaves nothing but records behind.
func (s *Service) Test(ctx context.Context, by audit.Actor, tenant identity.TenantID, c tenants.Connection, back string) (path string, until time.Time, err error) {
	if _, ours := s.protocols[c.Type].(Host); ours || s.protocols[c.Type] == nil {
		return "", time.Time{}, fault.New(fault.Conflict, "no-test", "Connections of this type cannot be tested.")
	}
	token := newToken()
	if err := s.flows.put(ctx, tenant, token, "", c.ID, flow{Hop: hopTest, Test: &test{By: by, Back: back}}); err != nil {
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
// what would have become of it; a is nil if it could not be believed, for the
// reason err.
func (s *Service) showTest(w http.ResponseWriter, r *http.Request, c tenants.Connection, t *test, a *Assertion, err error) error {
	ctx, tenant := r.Context(), tenantOf(r)
	var verdict string
	if a != nil {
		verdict, err = s.foresee(ctx, tenant, c, a)
	}
	e := s.event(r, audit.ConnectionTested, audit.Success, c)
	e.Actor = t.By
	page := httpkit.Page{Title: "The connection " + c.Title() + " works", Lead: verdict}
	if err != nil {
		refusal, _, ok := refusalOf(err)
		if !ok {
			return err
		}
		e.Outcome, e.Reason, e.Message = audit.Refused, string(refusal.Reason), refusal.Message
		page.Title, page.Lead = "The connection "+c.Title()+" does not let this person in", refusal.Message
		if a == nil {
			page.Title = "The connection " + c.Title() + " does not work yet"
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
	page.Body, err = body("test.html", struct {
		Said, Claims []httpkit.Fact
		Closes       bool
	}{said(a), claimed(a), t.Back == ""})
	if err != nil {
		return err
	}
	s.page(w, r, page)
	return nil
}

// foresee says in plain words what would have become of a sign-in.
func (s *Service) foresee(ctx context.Context, tenant identity.TenantID, c tenants.Connection, a *Assertion) (string, error) {
	if err := s.admitted(ctx, tenant, c, a); err != nil {
		return "", err
	}
	if t, ok := s.tenants.ByID(tenant); ok && !t.Settings.Session.Admits(httpkit.RequestFrom(ctx).ClientIP) {
		return "", errNetwork
	}
	user, created, err := s.directory.Foresee(ctx, tenant, arrival(c, a))
	if err == nil {
		err = s.elsewhere(ctx, tenant, c, user.Email)
	}
	if err != nil {
		return "", err
	}
	name := cmp.Or(user.DisplayName, user.UserName)
	if created {
		return "Nothing was changed and nobody is signed in. At a real sign-in, a new person would be made: " + name + ".", nil
	}
	return "Nothing was changed and nobody is signed in. At a real sign-in, this would be " + name + ", who is known here.", nil
}

// said is what a provider has said, as the connection understands it.
func said(a *Assertion) []httpkit.Fact {
	if a == nil {
		return nil
	}
	email := cmp.Or(a.Email, "none")
	if a.Email != "" && !a.EmailVerified {
		email += " (not verified, so it does not count)"
	}
	groups := "nothing is said of groups"
	if a.Groups != nil {
		groups = cmp.Or(shown(a.Groups), "none")
	}
	facts := []httpkit.Fact{{Name: "Subject", Value: a.Subject}, {Name: "Email", Value: email}, {Name: "Name", Value: cmp.Or(a.Name, "none")},
		{Name: "Groups", Value: groups}}
	if len(a.AMR) > 0 {
		facts = append(facts, httpkit.Fact{Name: "Authenticated by", Value: shown(a.AMR)})
	}
	if a.ACR != "" {
		facts = append(facts, httpkit.Fact{Name: "Class", Value: a.ACR})
	}
	if !a.AuthTime.IsZero() {
		facts = append(facts, httpkit.Fact{Name: "Authenticated at", Value: when(a.AuthTime)})
	}
	return facts
}

// claimed is everything that a provider has said, by name.
func claimed(a *Assertion) (facts []httpkit.Fact) {
	if a == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(a.Claims)) {
		facts = append(facts, httpkit.Fact{Name: name, Value: shown(a.Claims[name])})
	}
	return facts
}

// shown joins values for a page, as many as one reads.
func shown(values []string) string {
	const most = 100
	if more := len(values) - most; more > 0 {
		return strings.Join(values[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(values, ", ")
}
