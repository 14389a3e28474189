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
	byUser   map[identity.UserID]*Live // the first of each list
	byDevice map[identity.DeviceID]*Live
	byIDP    map[subject]*Live
	gone     bool // the tenant was forgotten; nothing is added any more
	words    words

	looking sync.Mutex // held while they are looked through, and before all others
	usedMu  sync.Mutex
	used    []*Live // see [roll.active]
}

// The lists that a session is in.
const (
	ofUser = iota
	ofDevice
	ofSubject
	lists
)

// neighbours are those beside a session in a list.
type neighbours struct{ before, after *Live }

// subject is a person, as a connection's identity provider names them.
type subject struct {
	connection identity.ConnectionID
	name       string
}

func newRoll() *roll {
	return &roll{byID: map[identity.SessionID]*Live{}, byUser: map[identity.UserID]*Live{}, byDevice: map[identity.DeviceID]*Live{},
		byIDP: map[subject]*Live{}}
}

// put lists a session; t.mu is held, unless nobody else has t yet.
func (t *roll) put(live *Live) {
	s := &live.session
	t.words.share(s)
	live.roll = t
	t.drop(t.byID[s.ID])
	t.byID[s.ID] = live
	link(t.byUser, s.User, ofUser, live)
	link(t.byDevice, s.Device, ofDevice, live)
	link(t.byIDP, subject{s.Connection, s.IDPSubject}, ofSubject, live)
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
	unlink(t.byUser, live.session.User, ofUser, live)
	unlink(t.byDevice, live.session.Device, ofDevice, live)
	unlink(t.byIDP, subject{live.session.Connection, live.session.IDPSubject}, ofSubject, live)
}

func link[K comparable](firsts map[K]*Live, key K, list int, live *Live) {
	first := firsts[key]
	live.beside[list] = neighbours{after: first}
	if first != nil {
		first.beside[list].before = live
	}
	firsts[key] = live
}

// unlink costs the same however many there are in the list: it is done for each of
// a hundred thousand that end at once.
func unlink[K comparable](firsts map[K]*Live, key K, list int, live *Live) {
	at := &live.beside[list]
	if at.after != nil {
		at.after.beside[list].before = at.before
	}
	switch {
	case at.before != nil:
		at.before.beside[list].after = at.after
	case at.after != nil:
		firsts[key] = at.after
	default:
		delete(firsts, key)
	}
	*at = neighbours{}
}

// along gives a list from its first session on.
func along(first *Live, list int) iter.Seq[*Live] {
	return func(yield func(*Live) bool) {
		for live := first; live != nil && yield(live); live = live.beside[list].after {
		}
	}
}

// active gives the sessions that have something open, or were used since SQL was
// told so. Those that are neither drop out of the list until they are used again
// ([Live.use]), so that it is as long as the sessions in use are many.
func (t *roll) active() (busy []*Live) {
	t.looking.Lock()
	defer t.looking.Unlock()
	// The sessions are asked without usedMu: who uses one holds its lock.
	t.usedMu.Lock()
	used := t.used
	t.used = nil
	t.usedMu.Unlock()
	kept := used[:0]
	for _, live := range used {
		if !live.busy() {
			// In this order: who uses it from now on finds that it is not listed.
			live.listed.Store(false)
			if live.busy() {
				busy = append(busy, live)
				t.use(live)
			}
			continue
		}
		busy = append(busy, live)
		kept = append(kept, live)
	}
	t.usedMu.Lock()
	defer t.usedMu.Unlock()
	t.used = append(t.used, kept...)
	return busy
}

// use lists a session that is not. Whoever finds it listed finds it in the list, or
// with who looks through that right now: nobody looks past one that has just come.
func (t *roll) use(live *Live) {
	t.usedMu.Lock()
	defer t.usedMu.Unlock()
	if !live.listed.Swap(true) {
		t.used = append(t.used, live)
	}
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
		return along(t.byUser[sel.User], ofUser)
	case sel.Device != "":
		return along(t.byDevice[sel.Device], ofDevice)
	case sel.IDPSubject != "":
		return along(t.byIDP[subject{sel.Connection, sel.IDPSubject}], ofSubject)
	case sel.Users != nil:
		return func(yield func(*Live) bool) {
			for _, user := range sel.Users {
				for live := range along(t.byUser[user], ofUser) {
					if !yield(live) {
						return
					}
				}
			}
		}
	}
	return maps.Values(t.byID)
}
