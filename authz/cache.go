package authz

import (
	"sync"

	"gatehouse/identity"
)

// maxRemembered bounds how much of a kind is remembered of one tenant: of
// decisions about 4 MB. The keys that callers can choose are few: an unknown team
// is the same as any other unknown one.
const maxRemembered = 1 << 14

// decisionKey is what a decision depends on, beside policy and directory.
type decisionKey struct {
	kind       identity.Kind
	id         string
	role       string
	access     Access
	permission Permission
	where      string
}

// holderKey is what the roles of a caller depend on, likewise.
type holderKey struct {
	kind identity.Kind
	id   string
	role string
}

// memory remembers what was found under one state of policy and directory. Two
// generations bound it: when the young one is full the old one is dropped, and
// what is still asked for moves up.
type memory[K comparable, V any] struct {
	mu         sync.RWMutex
	young, old map[K]V
}

func newMemory[K comparable, V any]() *memory[K, V] { return &memory[K, V]{young: map[K]V{}} }

func (m *memory[K, V]) get(k K) (V, bool) {
	m.mu.RLock()
	found, ok := m.young[k]
	if ok {
		m.mu.RUnlock()
		return found, true
	}
	found, ok = m.old[k]
	m.mu.RUnlock()
	if ok {
		m.put(k, found)
	}
	return found, ok
}

func (m *memory[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= maxRemembered/2 {
		m.old, m.young = m.young, make(map[K]V, maxRemembered/2)
	}
	m.young[k] = v
}
