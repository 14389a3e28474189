// Package tenants keeps the customer organisations: their names and hosts, how
// their people sign in (connections), and their settings.
//
// It exists so that "which tenant is this request for" is one lookup in memory
// (the host), and so that there is one place where a tenant's settings are
// read, checked and changed. It must not know sessions, people or policy.
package tenants
