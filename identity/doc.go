// Package identity holds the words that every room shares: the ids of tenants,
// users, sessions, devices and events, the [Principal] that a request is made by, and
// what a name is compared by ([NameKey]).
//
// It exists so that rooms on different floors can speak of the same things
// without importing each other. It must not do I/O, hold state, or import any
// other room.
package identity
