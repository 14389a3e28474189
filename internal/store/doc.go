// Package store is the SQL beneath every repository: it opens, migrates and
// closes databases, and hands out transactions that are bound to one tenant.
//
// It exists so that no query can reach another tenant's rows (promise P3): a
// repository gets a [Tenant] handle and nothing else, SQLite gives each tenant
// a file of its own under a key of its own, and PostgreSQL refuses rows of
// others by row-level security. The SQL above it is the same for both: numbered
// parameters ($1, $2, each of them used, the first time where its type is plain:
// "version < $1 OR $1 = 0"), times as BIGINT Unix milliseconds, documents as TEXT
// JSON (JSONB of PostgreSQL where they are looked into, by what [JSON] writes), texts
// in the order of their bytes, letter case by lower for ASCII alone, and no tenant
// column in sight.
//
// It must not know what the tables mean; only their migrations live here.
package store
