package shared

import (
	"sync"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// remembered is how many of the last ends are known. What was asked for longer
// ago is asked for again.
const remembered = 256

// ledger keeps answers that were overtaken on their way out of the cache: an end
// that was applied since the question was asked has not seen what the answer
// brings.
type ledger struct {
	mu   sync.Mutex
	seq  uint64 // of the last end
	gap  uint64
	ends [remembered]struct {
		tenant identity.TenantID
		sel    sessions.Selector
	}
}

// mark is the moment just before a question.
type mark struct{ seq, gap uint64 }

func (l *ledger) mark() mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return mark{l.seq, l.gap}
}

// ended notes an end, before the cache is searched for what it selects.
func (l *ledger) ended(tenant identity.TenantID, sel sessions.Selector) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	at := &l.ends[l.seq%remembered]
	at.tenant, at.sel = tenant, sel
}

// missed notes that ends may have been missed, before the cache is verified.
func (l *ledger) missed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap++
}

// holds reports whether what was asked after the mark still counts; l.mu is held,
// and is let go only when the session is in the cache.
func (l *ledger) holds(m mark, s *sessions.Session) bool {
	if l.gap != m.gap || l.seq-m.seq > remembered {
		return false
	}
	for seq := m.seq + 1; seq <= l.seq; seq++ {
		if end := &l.ends[seq%remembered]; end.tenant == s.Tenant && end.sel.Selects(s) {
			return false
		}
	}
	return true
}
