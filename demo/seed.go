package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/gateway"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// tokenLife is longer than a demo is left running; the next start makes new ones.
const tokenLife = 30 * 24 * time.Hour

// tokenName marks the demo's own tokens, so that a start can revoke the last one's.
const tokenName = "Demo"

// seeding fills a gateway with the demo's cast. Everything is found or made, so
// that a start on an old data folder changes nothing but addresses and tokens.
type seeding struct {
	gateway.Services

	cause audit.Cause
}

// seed makes the tenants and puts the fresh tokens into the info.
func (d *Demo) seed(ctx context.Context, issuer, secret, metadata string) error {
	s := seeding{d.gate.Services(), audit.SystemCause()}
	for _, c := range customers {
		connection := tenants.Connection{Name: c.connection, Type: c.protocol, Enabled: true, DefaultRole: "viewer"}
		if c.protocol == tenants.OIDC {
			connection.OIDC = &tenants.OIDCSpec{Issuer: issuer, ClientID: c.name, ClientSecret: secret,
				Scopes: []string{"openid", "email", "profile"}, Claims: tenants.AttributeMap{Email: "email", Name: "name", Groups: "groups"}}
		} else {
			connection.SAML = &tenants.SAMLSpec{IDPMetadata: tenants.MetadataSource{URL: metadata},
				Attributes: tenants.AttributeMap{Email: "mail", Name: "displayName", Groups: "groups"}}
		}
		t := d.info.Tenants[c.name]
		if err := s.customer(ctx, c, connection, &t); err != nil {
			return fmt.Errorf("demo: tenant %s: %w", c.name, err)
		}
		d.info.Tenants[c.name] = t
	}
	var err error
	if d.info.Operator.Token, err = s.token(ctx, identity.Platform, token.ScopeAPI, "owner"); err != nil {
		return fmt.Errorf("demo: operator: %w", err)
	}
	return nil
}

func (s seeding) customer(ctx context.Context, c customer, connection tenants.Connection, t *Tenant) error {
	id, err := s.tenant(ctx, c)
	if err != nil {
		return err
	}
	if connection, err = s.connection(ctx, id, connection); err != nil {
		return err
	}
	ids := map[string]identity.TeamID{}
	for _, team := range teams {
		if ids[team.name], err = s.team(ctx, id, team.name, team.display); err != nil {
			return err
		}
	}
	for i, account := range c.accounts() {
		user, err := s.user(ctx, id, account.Email, account.Name)
		if err == nil { // anew where the provider has another address than at the last start
			by := directory.Namer{Naming: connection.Naming()}
			err = s.Directory.Link(ctx, s.cause, id, user, by, connection.ID, account.Subject)
		}
		if err != nil {
			return err
		}
		if err := s.roles(ctx, id, user, members[i], ids[payments]); err != nil {
			return err
		}
	}
	if t.APIToken, err = s.token(ctx, id, token.ScopeAPI, "owner"); err != nil {
		return err
	}
	t.SCIMToken, err = s.token(ctx, id, token.ScopeSCIM, "")
	return err
}

func (s seeding) tenant(ctx context.Context, c customer) (identity.TenantID, error) {
	if t, ok := s.Tenants.ByName(c.name); ok {
		return t.ID, nil
	}
	t, err := s.Tenants.Create(ctx, s.cause, tenants.Tenant{Name: c.name, DisplayName: c.display, Hosts: []string{c.host()}})
	if err != nil {
		return "", err
	}
	return t.ID, nil
}

// connection brings the connection to the identity provider's address of this
// start; it is left alone where that is the same.
func (s seeding) connection(ctx context.Context, tenant identity.TenantID, want tenants.Connection) (tenants.Connection, error) {
	all, err := s.Tenants.Connections(ctx, tenant)
	if err != nil {
		return want, err
	}
	for _, have := range all {
		if have.Name != want.Name {
			continue
		}
		same := have.OIDC != nil && want.OIDC != nil && have.OIDC.Issuer == want.OIDC.Issuer && have.OIDC.ClientSecret == want.OIDC.ClientSecret ||
			have.SAML != nil && want.SAML != nil && have.SAML.IDPMetadata.URL == want.SAML.IDPMetadata.URL
		if same {
			return have, nil
		}
	}
	return s.Tenants.PutConnection(ctx, s.cause, tenant, want)
}

func (s seeding) team(ctx context.Context, tenant identity.TenantID, name, display string) (identity.TeamID, error) {
	all, err := s.Directory.Teams(ctx, tenant)
	if err != nil {
		return "", err
	}
	for _, t := range all {
		if t.Name == name {
			return t.ID, nil
		}
	}
	t, err := s.Directory.CreateTeam(ctx, s.cause, tenant, directory.Team{Name: name, DisplayName: display})
	return t.ID, err
}

// user finds or makes a person.
func (s seeding) user(ctx context.Context, tenant identity.TenantID, email, name string) (identity.UserID, error) {
	page, err := s.Directory.Users(ctx, tenant, directory.UserQuery{Count: 1,
		Filter: directory.Compare{Attr: directory.AttrUserName, Op: directory.Equal, Value: email}})
	if err != nil {
		return "", err
	}
	if len(page.Items) > 0 {
		return page.Items[0].ID, nil
	}
	u, err := s.Directory.CreateUser(ctx, s.cause, tenant, directory.User{UserName: email, Email: email, DisplayName: name,
		Active: true, Source: directory.SourceAdmin})
	return u.ID, err
}

// roles gives a person the account-wide role, and the member a team's as well.
func (s seeding) roles(ctx context.Context, tenant identity.TenantID, user identity.UserID, m member, team identity.TeamID) error {
	if err := s.assign(ctx, tenant, authz.Assignment{Name: m.role, Role: m.role, User: user}); err != nil || m.role != authz.Member {
		return err
	}
	return s.assign(ctx, tenant, authz.Assignment{Name: m.role + "-" + payments, Role: authz.TeamAdmin, Team: team, User: user})
}

func (s seeding) assign(ctx context.Context, tenant identity.TenantID, want authz.Assignment) error {
	all, err := s.Authz.Assignments(ctx, tenant)
	if err != nil {
		return err
	}
	for _, have := range all {
		if have.Role == want.Role && have.Team == want.Team && have.User == want.User {
			return nil
		}
	}
	_, err = s.Authz.Assign(ctx, s.cause, tenant, want)
	return err
}

// token makes a token of a scope and revokes those of earlier starts, whose
// secrets nobody can print again.
func (s seeding) token(ctx context.Context, tenant identity.TenantID, scope token.Scope, role string) (string, error) {
	old, err := s.Tokens.List(ctx, tenant)
	if err != nil {
		return "", err
	}
	for _, t := range old {
		if t.Scope == scope && t.RevokedAt.IsZero() && strings.HasPrefix(t.Name, tokenName) {
			if err := s.Tokens.Revoke(ctx, s.cause, tenant, t.ID); err != nil {
				return "", err
			}
		}
	}
	_, secret, err := s.Tokens.Create(ctx, s.cause, tenant, token.Spec{Name: tokenName + " " + string(scope), Scope: scope, Role: role, Expires: time.Now().Add(tokenLife)})
	return secret, err
}
