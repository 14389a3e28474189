package sessions

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"gatehouse/identity"
)

// roll lists one tenant's sessions: the live ones, and those ended ones that
// still have a stream inside. A person's and a device's are found without
// looking through all, also by the name that the identity provider has for the
// person.
type roll struct {
	mu       sync.RWMutex
	byID     map[identity.SessionID]*Live
	byUser   map[identity.UserID][]*Live
	byDevice map[identity.DeviceID][]*Live
	byIDP    map[subject][]*Live
	gone     bool // the tenant was forgotten; nothing is added any more
}

// subject is a person, as a connection's identity provider names them.
type subject struct {
	connection identity.ConnectionID
	name       string
}

func newRoll() *roll {
	return &roll{byID: map[identity.SessionID]*Live{}, byUser: map[identity.UserID][]*Live{}, byDevice: map[identity.DeviceID][]*Live{},
		byIDP: map[subject][]*Live{}}
}

// put lists a session; t.mu is held, unless nobody else has t yet.
func (t *roll) put(live *Live) {
	s := &live.session
	t.drop(t.byID[s.ID])
	t.byID[s.ID] = live
	t.byUser[s.User] = append(t.byUser[s.User], live)
	t.byDevice[s.Device] = append(t.byDevice[s.Device], live)
	named := subject{s.Connection, s.IDPSubject}
	t.byIDP[named] = append(t.byIDP[named], live)
}

func (t *roll) remove(live *Live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[live.session.ID] == live {
		t.drop(live)
	}
}

func (t *roll) drop(live *Live) {
	if live == nil {
		return
	}
	delete(t.byID, live.session.ID)
	without(t.byUser, live.session.User, live)
	without(t.byDevice, live.session.Device, live)
	without(t.byIDP, subject{live.session.Connection, live.session.IDPSubject}, live)
}

func without[K comparable](lists map[K][]*Live, key K, live *Live) {
	rest := slices.DeleteFunc(lists[key], func(other *Live) bool { return other == live })
	if len(rest) == 0 {
		delete(lists, key)
		return
	}
	lists[key] = rest
}

// selected gives the sessions that a selector means.
func (t *roll) selected(sel Selector) (found []*Live) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for live := range t.candidates(sel) {
		if sel.Selects(&live.session) {
			found = append(found, live)
		}
	}
	return found
}

// candidates gives at least the sessions that a selector means.
func (t *roll) candidates(sel Selector) iter.Seq[*Live] {
	switch {
	case sel.Session != "":
		if live := t.byID[sel.Session]; live != nil {
			return slices.Values([]*Live{live})
		}
		return slices.Values[[]*Live](nil)
	case sel.User != "":
		return slices.Values(t.byUser[sel.User])
	case sel.Device != "":
		return slices.Values(t.byDevice[sel.Device])
	case sel.IDPSubject != "":
		return slices.Values(t.byIDP[subject{sel.Connection, sel.IDPSubject}])
	case sel.Users != nil:
		return func(yield func(*Live) bool) {
			for _, user := range sel.Users {
				for _, live := range t.byUser[user] {
					if !yield(live) {
						return
					}
				}
			}
		}
	}
	return maps.Values(t.byID)
}
