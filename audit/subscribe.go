package audit

import (
	"sync"

	"gatehouse/identity"
)

const (
	// subscriberBuffer is how far a reader of the live stream may fall behind.
	subscriberBuffer = 256
	// maxSubscribers bounds the live streams of one tenant.
	maxSubscribers = 128
)

// subscribers are the readers of the live stream, by tenant.
type subscribers struct {
	mu      sync.Mutex
	tenants map[identity.TenantID]map[*subscriber]struct{}
}

type subscriber struct{ events chan Event }

// Subscribe gives a tenant's events as they come into the index, from now on.
// The channel is closed when its reader is too slow, when there are too many
// readers, and when the index stops; read what was missed with
// [Index.Search]. Call cancel when done.
func (x *Index) Subscribe(tenant identity.TenantID) (events <-chan Event, cancel func()) {
	s := &subscriber{events: make(chan Event, subscriberBuffer)}
	x.live.add(tenant, s)
	return s.events, func() { x.live.remove(tenant, s) }
}

func (l *subscribers) add(tenant identity.TenantID, s *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tenants == nil {
		l.tenants = make(map[identity.TenantID]map[*subscriber]struct{})
	}
	if l.tenants[tenant] == nil {
		l.tenants[tenant] = make(map[*subscriber]struct{})
	}
	if len(l.tenants[tenant]) >= maxSubscribers {
		close(s.events)
		return
	}
	l.tenants[tenant][s] = struct{}{}
}

func (l *subscribers) remove(tenant identity.TenantID, s *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close(tenant, s)
}

// close ends one subscription, once. The caller holds the lock.
func (l *subscribers) close(tenant identity.TenantID, s *subscriber) {
	if _, ok := l.tenants[tenant][s]; !ok {
		return
	}
	delete(l.tenants[tenant], s)
	if len(l.tenants[tenant]) == 0 {
		delete(l.tenants, tenant)
	}
	close(s.events)
}

func (l *subscribers) publish(tenant identity.TenantID, batch []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.tenants[tenant] {
		for _, e := range batch {
			select {
			case s.events <- e:
				continue
			default:
			}
			l.close(tenant, s)
			break
		}
	}
}

func (l *subscribers) end(tenant identity.TenantID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.tenants[tenant] {
		l.close(tenant, s)
	}
}

func (l *subscribers) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tenant, all := range l.tenants {
		for s := range all {
			l.close(tenant, s)
		}
	}
}
