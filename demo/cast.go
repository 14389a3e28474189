package demo

import (
	"gatehouse/demo/idp"
	"gatehouse/tenants"
)

// What the demo is about: two customers whose people sign in by different
// protocols, with the same roles and teams.
const (
	acme     = "acme"
	globex   = "globex"
	payments = "payments"
)

// customer is a tenant of the demo.
type customer struct {
	name, display string
	connection    string // its name is that of the protocol
	protocol      tenants.ConnectionType
}

var customers = []customer{
	{acme, "Acme", "oidc", tenants.OIDC},
	{globex, "Globex", "saml", tenants.SAML},
}

func (c customer) host() string { return c.name + ".localhost" }

// member is a person of every customer; role is the one held account-wide.
type member struct {
	role, name string
	groups     []string
}

var members = []member{
	{role: "owner", name: "Olivia Owner"},
	{role: "member", name: "Max Member", groups: []string{"ops"}},
	{role: "viewer", name: "Vera Viewer"},
}

// teams are made in every customer, with their names for people.
var teams = []struct{ name, display string }{{payments, "Payments"}, {"platform", "Platform"}}

func (m member) email(c customer) string { return m.role + "@" + c.name + ".example" }

// password is the same at every start, so that people can remember it; the
// demo is reachable from this machine alone.
func (m member) password() string { return "demo-" + m.role }

// accounts are a customer's people as its identity provider knows them.
func (c customer) accounts() idp.Accounts {
	var list idp.Accounts
	for _, m := range members {
		list = append(list, idp.Account{Subject: c.name + "-" + m.role, Email: m.email(c), Name: m.name,
			Password: m.password(), Groups: append([]string{}, m.groups...)})
	}
	return list
}

func (c customer) users() []User {
	var list []User
	for _, m := range members {
		list = append(list, User{Email: m.email(c), Password: m.password(), Role: m.role})
	}
	return list
}
