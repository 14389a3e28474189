// Package recorder keeps what provisioning clients send, what was understood of it, what
// it has changed and what they were answered, for the tenant's admins to look at.
//
// It exists because whoever sets a provider up sees neither end of it: the provider says
// "failed", and the directory is as it was. It writes behind, in batches of its own, from
// a queue that is bounded: it never keeps a request waiting, and none fails by it. What it
// has no room for it counts, and says so in its place.
//
// It must not hold a secret ([Secrets]), keep anything for longer than [Kept], or be
// relied on by anything but people: the journal is what has happened.
package recorder
