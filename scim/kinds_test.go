package scim

import (
	"fmt"
	"testing"

	"gatehouse/identity"
	"gatehouse/scim/resource"
)

func TestP3_KindsAreRememberedByTenantAndVersion(t *testing.T) {
	var e extensions
	if e.of("acme", nil, 1) != resource.Standard || len(e.kinds) != 0 {
		t.Error("a tenant without schemas is remembered")
	}
	first := e.of("acme", fuzzSchemas, 1)
	if len(first.User.Extensions) != 2 || len(resource.User.Extensions) != 1 {
		t.Errorf("%d extensions, and %d of everybody", len(first.User.Extensions), len(resource.User.Extensions))
	}
	if e.of("acme", fuzzSchemas, 1) != first {
		t.Error("the same version is built again")
	}
	if e.of("globex", fuzzSchemas, 1) == first {
		t.Error("another tenant has the same")
	}
	if now := e.of("acme", fuzzSchemas[:0:0], 2); now != resource.Standard {
		t.Error("schemas that are gone are remembered")
	}
	if e.of("acme", fuzzSchemas, 3) == first {
		t.Error("another version has the same")
	}
	for i := range maxExtended + 10 {
		e.of(identity.TenantID(fmt.Sprint(i)), fuzzSchemas, 1)
	}
	if len(e.kinds) != maxExtended {
		t.Errorf("%d tenants are remembered", len(e.kinds))
	}
}
