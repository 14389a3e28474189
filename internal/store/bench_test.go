package store_test

import (
	"strconv"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

func BenchmarkRead(b *testing.B) {
	db := open(b, b.TempDir(), store.Options{Keys: fixedKeys("k")})
	create(b, db, acme)
	for b.Loop() {
		if _, err := countTeams(b.Context(), db.Tenant(acme)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDurableWrite(b *testing.B) {
	db := open(b, b.TempDir(), store.Options{Keys: fixedKeys("k")})
	create(b, db, acme)
	for i := 0; b.Loop(); i++ {
		if err := addTeam(b.Context(), db.Tenant(acme), strconv.Itoa(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is what the first query of a tenant costs whose file was
// closed, the closing of another included.
func BenchmarkOpen(b *testing.B) {
	db := open(b, b.TempDir(), store.Options{Keys: fixedKeys("k"), MaxOpen: 1})
	create(b, db, acme, "ten_globex")
	for i := 0; b.Loop(); i++ {
		id := []identity.TenantID{acme, "ten_globex"}[i%2]
		if _, err := countTeams(b.Context(), db.Tenant(id)); err != nil {
			b.Fatal(err)
		}
	}
}
