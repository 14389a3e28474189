// Package cluster is what the nodes of a gateway agree on within a bound: a
// message that one node publishes has been applied by every node that answers
// from memory when Publish returns. A node that could not be reached is waited
// out: it may answer from memory only under a [Lease], and each node keeps its
// own lease by its own monotonic clock.
//
// It exists so that revocations hold on every node when they have returned
// (promise P2), whatever becomes of Redis, SQL or the network in between.
// docs/sessions.md has the protocol in words; the comments here hold the proof
// where it is made. The package knows nothing of sessions: a message is a topic
// and a few bytes. What it needs of SQL it declares ([Arbiter]).
package cluster
