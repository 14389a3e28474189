package authz

import (
	"sync"

	"gatehouse/identity"
)

// maxDecisions bounds how many decisions are remembered of one tenant: about
// 4 MB. The keys that callers can choose are few: an unknown team is the same
// as any other unknown one.
const maxDecisions = 1 << 14

// decisionKey is what a decision depends on, beside policy and directory.
type decisionKey struct {
	kind       identity.Kind
	id         string
	role       string
	access     Access
	permission Permission
	where      string
}

// decisions remembers what was decided under one state of policy and
// directory. Two generations bound it: when the young one is full the old one
// is dropped, and what is still asked for moves up.
type decisions struct {
	mu         sync.RWMutex
	young, old map[decisionKey]Decision
}

func newDecisions() *decisions { return &decisions{young: map[decisionKey]Decision{}} }

func (c *decisions) get(k decisionKey) (Decision, bool) {
	c.mu.RLock()
	d, ok := c.young[k]
	if ok {
		c.mu.RUnlock()
		return d, true
	}
	d, ok = c.old[k]
	c.mu.RUnlock()
	if ok {
		c.put(k, d)
	}
	return d, ok
}

func (c *decisions) put(k decisionKey, d Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxDecisions/2 {
		c.old, c.young = c.young, make(map[decisionKey]Decision, maxDecisions/2)
	}
	c.young[k] = d
}
