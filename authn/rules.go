package authn

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// arrival is what an assertion and the connection's rules come to for the
// directory.
func arrival(c tenants.Connection, a *Assertion) directory.SignIn {
	return directory.SignIn{
		Connection: c.ID, Version: c.Version, Subject: a.Subject, By: namer(c, a), Email: a.Email, EmailVerified: a.EmailVerified, Name: a.Name,
		Groups: a.Groups, Rules: ruled(c, a), LinkByEmail: c.Link == tenants.LinkByEmail, LinkByExternalID: c.Link == tenants.LinkByExternalID,
		CreateMissing: c.Unknown == tenants.MakeUnknown && c.Type != tenants.Local,
	}
}

// namer is who calls the person so.
func namer(c tenants.Connection, a *Assertion) directory.Namer {
	return directory.Namer{Issuer: c.Namer(a.Issuer), Naming: c.Naming()}
}

// admitted refuses somebody of a connection's provider who may not use it. What
// the provider does not say counts against them: whether they are in a group, and
// whether an address is theirs.
func (s *Service) admitted(ctx context.Context, tenant identity.TenantID, c tenants.Connection, a *Assertion) error {
	if domains := c.Admits.Domains; len(domains) > 0 {
		if !a.EmailVerified || !slices.Contains(domains, domainOf(a.Email)) {
			return Refuse(domainNotAllowed, "The connection is for verified addresses in allowed_domains alone, and the identity provider asserts none.")
		}
	}
	if groups := c.Admits.Groups; len(groups) > 0 {
		if a.Groups == nil {
			return Refuse(groupNotAllowed, "The connection is for the members of allowed_groups alone, and the identity provider does not say which groups the person is in.")
		}
		if !slices.ContainsFunc(a.Groups, func(g string) bool { return slices.Contains(groups, g) }) {
			return Refuse(groupNotAllowed, "The person is in none of allowed_groups.")
		}
	}
	if !a.EmailVerified {
		return nil
	}
	return s.elsewhere(ctx, tenant, c, a.Email)
}

// domainOf is the domain of an address in its canonical form, "" if that is none.
func domainOf(email string) string {
	email, err := directory.CanonicalEmail(email)
	if err != nil {
		return ""
	}
	_, domain, _ := strings.Cut(email, "@")
	if domain, err = idna.Lookup.ToASCII(domain); err != nil {
		return ""
	}
	domain, err = tenants.CanonicalHost(domain)
	if err != nil {
		return ""
	}
	return domain
}

// elsewhere refuses somebody whose domain is to sign in by another connection. A
// local account is there for when that one lets nobody in.
func (s *Service) elsewhere(ctx context.Context, tenant identity.TenantID, c tenants.Connection, email string) error {
	if c.Type == tenants.Local {
		return nil
	}
	name := domainOf(email)
	if name == "" && email != "" {
		return s.unplaced(ctx, tenant)
	}
	d, err := s.domain(ctx, tenant, name)
	if err != nil || !d.Required || d.Connection == c.ID {
		return err
	}
	return Refuse(domainElsewhere, "People with an address in %s must sign in by another connection.", d.Name)
}

// unplaced refuses somebody whose address has no domain in a form that can be
// compared, where some domain's people must sign in by one connection.
func (s *Service) unplaced(ctx context.Context, tenant identity.TenantID) error {
	all, err := s.tenants.Domains(ctx, tenant)
	if err == nil && slices.ContainsFunc(all, func(d tenants.Domain) bool { return d.Required && d.Verified() }) {
		err = Refuse(domainElsewhere, "The domain of the asserted address cannot be read, and there are domains whose people must sign in by one connection.")
	}
	return err
}

// ruled says of every group that the connection's rules name whether the person is
// in it: if any of its rules says so. nil if there are no rules.
func ruled(c tenants.Connection, a *Assertion) map[string]bool {
	var in map[string]bool
	for _, r := range c.GroupRules {
		if in == nil {
			in = map[string]bool{}
		}
		in[r.Group] = in[r.Group] || slices.ContainsFunc(a.Claims[r.Claim], func(v string) bool { return slices.Contains(r.Values, v) })
	}
	return in
}

// stillSaid is a connection that admits by what an answer about somebody who is
// signed in says: it may leave out what the sign-in said (OpenID Connect Core
// §12.2), and that is no reason to put them out.
func stillSaid(c tenants.Connection, a *Assertion) tenants.Connection {
	if a.Email == "" {
		c.Admits.Domains = nil
	}
	if a.Groups == nil {
		c.Admits.Groups = nil
	}
	return c
}

// stillHere is [arrival] of somebody who is signed in. A group is left because of a
// claim that says otherwise, and not because of one that is not there.
func stillHere(c tenants.Connection, a *Assertion) directory.SignIn {
	in := arrival(c, a)
	in.LinkByEmail, in.LinkByExternalID, in.CreateMissing = false, false, false
	for group, holds := range in.Rules {
		said := slices.ContainsFunc(c.GroupRules, func(r tenants.GroupRule) bool { return r.Group == group && a.Claims[r.Claim] != nil })
		if !holds && !said {
			delete(in.Rules, group)
			in.Unsaid = append(in.Unsaid, group)
		}
	}
	return in
}
