// Package keys is the envelope encryption: one 256-bit data key per tenant,
// wrapped by a key-encryption key (KEK) that lives outside the data, and
// everything else derived from the data key by purpose.
//
// It exists so that each tenant's database, journal and sealed values are
// readable with that tenant's key alone (promise P3), and so that destroying
// one small record makes all of it unreadable, copies included (promise P10).
//
// It must not hand out a data key itself, put key material into an error or a
// log, or know what its callers encrypt.
package keys
