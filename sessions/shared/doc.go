// Package shared is the registry of sessions that several nodes share. Each node
// answers from its own memory, but only while it knows to have missed no
// revocation ([cluster.Bus]); what it does not hold it looks up in SQL.
//
// It exists so that promise P2 holds on every node at once. SQL is the record
// and is asked whenever it can be; Redis keeps a copy of the live sessions for
// when it cannot. The package must not know how a revocation is decided or
// journalled.
package shared
