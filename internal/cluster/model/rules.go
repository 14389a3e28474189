package model

// Rules are the protocol. The zero Rules are the right ones; each field leaves one
// of them out.
type Rules struct {
	// FromAnswer: a renewal counts from when its answer came.
	FromAnswer bool
	// Impatient: the publisher does not wait for a member that is silent.
	Impatient bool
	// Trusting: steps in Redis do not compare the marker and the run_id.
	Trusting bool
	// Unverified: who joins does not verify what it has cached.
	Unverified bool
	// Once: the lease is checked when a request arrives, and not before forwarding.
	Once bool
	// CommitLast: the publisher commits after it has published.
	CommitLast bool
	// Hasty: who appends to the outbox does not wait for a lease.
	Hasty bool
	// Unsettled: a term in a new epoch counts at once.
	Unsettled bool
	// Overtaken: what was looked up is kept though a message was applied meanwhile.
	Overtaken bool
	// Forgetful: SQL's list keeps a node for one lease only.
	Forgetful bool
	// Unaware: the publisher does not wait for those on SQL's list.
	Unaware bool
	// Stale: a question that SQL does not answer counts, however long ago the last
	// one was that counted.
	Stale bool
	// Unlisted: who joins does not read in Redis what SQL has not got yet.
	Unlisted bool
	// Believing: SQL's word counts also of what it has not got yet.
	Believing bool
	// Trustful: who could not commit does not try again before it returns.
	Trustful bool
	// Early: who joins an epoch verifies before it is settled.
	Early bool
	// Prompt: a node lives by SQL as soon as it is back.
	Prompt bool
	// Unnoticed: SQL is away and back, or back and away, and a node that waits for it
	// to answer has not asked meanwhile. This is the known limit of the protocol.
	Unnoticed bool
}

// Faults are how many of each may come.
type Faults struct {
	All      uint8 // of the first four together
	Empty    uint8 // Redis loses its data, as the same process or as a new one
	Failover uint8 // a replica takes over that may lag, and the master goes on beside it
	Away     uint8 // SQL goes away
	Crash    uint8 // the server dies and starts again
	// Apart is how often the server says that it lives by SQL, which is no fault by
	// itself.
	Apart uint8
}

// take takes one of a kind, if there is one left.
func (f *Faults) take(kind func(*Faults) *uint8) bool {
	n := kind(f)
	if *n == 0 || f.All == 0 {
		return false
	}
	*n--
	f.All--
	return true
}

// alone takes one of Apart.
func (f *Faults) alone() bool {
	if f.Apart == 0 {
		return false
	}
	f.Apart--
	return true
}

func empty(f *Faults) *uint8    { return &f.Empty }
func failover(f *Faults) *uint8 { return &f.Failover }
func away(f *Faults) *uint8     { return &f.Away }
func crash(f *Faults) *uint8    { return &f.Crash }
