package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/audit"
	"gatehouse/tenants"
)

// A tenant whose database or key nobody can read any more can still be deleted.
func TestP10_AnUnreadableTenantIsDeleted(t *testing.T) {
	for what, lost := range map[string]string{"database": "store/tenants/%s", "key": "keys/%s.key"} {
		t.Run(what, func(t *testing.T) {
			g := open(t)
			acme, err := g.rooms.tenants.Create(t.Context(), audit.SystemCause(), tenants.Tenant{Name: "acme"})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(g.config.Data, fmt.Sprintf(lost, acme.ID))); err != nil {
				t.Fatal(err)
			}
			if err := g.rooms.tenants.Delete(t.Context(), audit.SystemCause(), acme.ID, 0); err != nil {
				t.Error(err)
			}
			if _, there := g.rooms.tenants.ByID(acme.ID); there {
				t.Error("the tenant is still there")
			}
		})
	}
}
