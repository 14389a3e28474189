package tenants

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// maxDomains bounds a tenant's domains.
	maxDomains = 500
	// verifyWait bounds how long the DNS is asked.
	verifyWait = 10 * time.Second
	// maxRecords bounds how many TXT records of a name are looked at.
	maxRecords = 200

	recordLabel = "_gatehouse."
	recordValue = "gatehouse-domain="
)

// Domain has people with an address in it sign in by one connection. It counts
// only once it is verified: that whoever runs the tenant runs the domain as well.
type Domain struct {
	Name       string // canonical ([CanonicalHost])
	Connection identity.ConnectionID
	// Required refuses people with a verified address in the domain who come by
	// another connection.
	Required   bool
	Token      string    // what the record in the DNS must say
	VerifiedAt time.Time // zero: not yet
	Version    uint64
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Record is the TXT record that proves the domain: its name, and what it says.
func (d Domain) Record() (name, value string) { return recordLabel + d.Name, recordValue + d.Token }

// Verified reports whether the domain counts.
func (d Domain) Verified() bool { return !d.VerifiedAt.IsZero() }

// Resolver asks the DNS; [net.Resolver] is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

var errNoDomain = fault.New(fault.NotFound, "no-such-domain", "There is no such domain.")

// Domains returns a tenant's domains by name, verified or not.
func (s *Service) Domains(ctx context.Context, tenant identity.TenantID) ([]Domain, error) {
	w, err := s.waysOf(ctx, tenant)
	return slices.Clone(w.domains), err
}

// Domain finds a tenant's domain by its canonical name.
func (s *Service) Domain(ctx context.Context, tenant identity.TenantID, name string) (Domain, error) {
	w, err := s.waysOf(ctx, tenant)
	if err != nil {
		return Domain{}, err
	}
	if i := slices.IndexFunc(w.domains, func(d Domain) bool { return d.Name == name }); i >= 0 {
		return w.domains[i], nil
	}
	return Domain{}, errNoDomain
}

// PutDomain has people of a domain sign in by a connection. A version other than 0
// must be that of the domain which is there. What was verified stays so.
func (s *Service) PutDomain(ctx context.Context, cause audit.Cause, tenant identity.TenantID, d Domain) (Domain, error) {
	name, err := CanonicalHost(d.Name)
	if err != nil || !strings.Contains(name, ".") || net.ParseIP(name) != nil {
		return Domain{}, invalid("bad-domain", fmt.Sprintf("%.100q is no domain such as example.com.", d.Name))
	}
	return s.changeDomain(ctx, tenant, name, func(current Domain, all []Domain) (Domain, *audit.Event, error) {
		c, err := s.ConnectionByID(ctx, tenant, d.Connection)
		if err != nil {
			return Domain{}, nil, err
		}
		if c.Type == Local {
			return Domain{}, nil, fault.New(fault.Conflict, "no-provider", "A domain leads to an identity provider, and not to local accounts, of which only a few people have one.")
		}
		if d.Version != 0 && d.Version != current.Version {
			return Domain{}, nil, errVersion
		}
		wanted := current
		if current.Version == 0 {
			if len(all) >= maxDomains {
				return Domain{}, nil, fault.New(fault.Conflict, "too-many-domains", fmt.Sprintf("A tenant has at most %d domains.", maxDomains))
			}
			wanted.Token = rand.Text()
		}
		wanted.Connection, wanted.Required = d.Connection, d.Required
		e := wanted.event(cause, tenant, audit.DomainChanged)
		e.Details = map[string]string{"connection": c.Name, "required": fmt.Sprint(d.Required)}
		return wanted, &e, nil
	})
}

// VerifyDomain asks the DNS for the domain's record. One that is verified already
// stays so, whatever the answer.
func (s *Service) VerifyDomain(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string) (Domain, error) {
	d, err := s.Domain(ctx, tenant, name)
	if err != nil || d.Verified() {
		return d, err
	}
	record, value := d.Record()
	asked, cancel := context.WithTimeout(ctx, verifyWait)
	defer cancel()
	found, err := s.resolver.LookupTXT(asked, record+".") // with the dot, no search list is tried
	missing := (*net.DNSError)(nil)
	switch {
	case errors.As(err, &missing) && missing.IsNotFound:
		return Domain{}, fault.New(fault.Conflict, "domain-unverified",
			fmt.Sprintf("There is no TXT record %s yet. Add it with the value %s; it can take a while until it is seen.", record, value))
	case err != nil:
		return Domain{}, fault.OutOfReach(err, "dns-unavailable", "The DNS did not answer for "+record+". Try again in a moment.")
	case !slices.Contains(found[:min(len(found), maxRecords)], value):
		return Domain{}, fault.New(fault.Conflict, "domain-unverified",
			fmt.Sprintf("The TXT record %s is there, but does not say %s.", record, value))
	}
	return s.changeDomain(ctx, tenant, name, func(current Domain, _ []Domain) (Domain, *audit.Event, error) {
		if current.Token != d.Token { // deleted, and made anew meanwhile
			return Domain{}, nil, errVersion
		}
		current.VerifiedAt = time.Now().UTC().Truncate(time.Millisecond)
		e := current.event(cause, tenant, audit.DomainVerified)
		return current, &e, nil
	})
}

// changeDomain journals and keeps what change makes of the domain of this name,
// which is zero but for its name if there is none.
func (s *Service) changeDomain(ctx context.Context, tenant identity.TenantID, name string,
	change func(current Domain, all []Domain) (Domain, *audit.Event, error),
) (kept Domain, err error) {
	err = s.alter(ctx, tenant, func() (recorded bool, err error) {
		all, err := s.Domains(ctx, tenant)
		if err != nil {
			return false, err
		}
		now := time.Now().UTC().Truncate(time.Millisecond)
		current := Domain{Name: name, CreatedAt: now}
		if i := slices.IndexFunc(all, func(d Domain) bool { return d.Name == name }); i >= 0 {
			current = all[i]
		}
		next, e, err := change(current, all)
		if err != nil {
			return false, err
		}
		next.Version, next.UpdatedAt = current.Version+1, now
		if _, err := s.journal.Commit(ctx, *e); err != nil {
			return false, err
		}
		ctx, cancel := effect(ctx)
		defer cancel()
		defer s.connections.forget(tenant) // whatever came of it
		err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error { return putDomain(ctx, tx, next) })
		if store.IsUnique(err) {
			return true, errVersion
		}
		if err != nil {
			return true, fmt.Errorf("keep domain %s: %w", name, err)
		}
		kept = next
		return true, nil
	})
	return kept, err
}

// DeleteDomain lets people of a domain sign in as everybody does.
func (s *Service) DeleteDomain(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error {
	return s.alter(ctx, tenant, func() (recorded bool, err error) {
		d, err := s.Domain(ctx, tenant, name)
		switch {
		case err != nil:
			return false, err
		case ifVersion != 0 && ifVersion != d.Version:
			return false, errVersion
		}
		if _, err := s.journal.Commit(ctx, d.event(cause, tenant, audit.DomainDeleted)); err != nil {
			return false, err
		}
		ctx, cancel := effect(ctx)
		defer cancel()
		defer s.connections.forget(tenant) // whatever came of it
		if err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			return deleteDomain(ctx, tx, name, ifVersion)
		}); err != nil {
			return true, fmt.Errorf("delete domain %s: %w", name, err)
		}
		return true, nil
	})
}

func (d Domain) event(cause audit.Cause, tenant identity.TenantID, t audit.Type) audit.Event {
	e := cause.Event(tenant, t, audit.Success)
	e.Target = audit.Target{Kind: "domain", ID: d.Name, Name: d.Name}
	e.Connection = d.Connection
	return e
}

func scanDomain(row store.Row) (d Domain, err error) {
	var verified, created, updated int64
	if err := row.Scan(&d.Name, &d.Connection, &d.Required, &d.Token, &verified, &d.Version, &created, &updated); err != nil {
		return d, err
	}
	if verified != 0 {
		d.VerifiedAt = store.Time(verified)
	}
	d.CreatedAt, d.UpdatedAt = store.Time(created), store.Time(updated)
	return d, nil
}

func loadDomains(ctx context.Context, tx *store.Tx) ([]Domain, error) {
	return store.All(ctx, tx, scanDomain, `SELECT name, connection_id, required, token, verified_at, version, created_at, updated_at
		FROM domains ORDER BY name LIMIT $1`, maxDomains)
}

// putDomain writes a new row for version 1, else changes the one of the version
// before.
func putDomain(ctx context.Context, tx *store.Tx, d Domain) error {
	var verified int64
	if d.Verified() {
		verified = store.Millis(d.VerifiedAt)
	}
	if d.Version == 1 {
		_, err := tx.Exec(ctx, `INSERT INTO domains (name, connection_id, required, token, verified_at, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, d.Name, string(d.Connection), d.Required, d.Token, verified, d.Version,
			store.Millis(d.CreatedAt), store.Millis(d.UpdatedAt))
		return err
	}
	changed, err := tx.Exec(ctx, `UPDATE domains SET connection_id = $1, required = $2, verified_at = $3, version = $4, updated_at = $5
		WHERE name = $6 AND version = $7`, string(d.Connection), d.Required, verified, d.Version, store.Millis(d.UpdatedAt), d.Name, d.Version-1)
	if err != nil {
		return err
	}
	if changed != 1 {
		return errVersion
	}
	return nil
}

// deleteDomain removes a domain of this version; 0: of any.
func deleteDomain(ctx context.Context, tx *store.Tx, name string, version uint64) error {
	n, err := tx.Exec(ctx, `DELETE FROM domains WHERE name = $1 AND ($2 = 0 OR version = $2)`, name, version)
	if err == nil && n == 0 && version != 0 {
		return errVersion
	}
	return err
}
