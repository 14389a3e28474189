package recorder

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

const (
	acme   = identity.TenantID("ten_acme")
	globex = identity.TenantID("ten_globex")
)

// place is two nodes on one database.
type place struct {
	t      testing.TB
	db     *store.DB
	ring   *keys.Ring
	served []identity.TenantID
	away   atomic.Bool // the database
	meet   func()      // called by whoever goes to it; nil: nothing is
	a, b   *Service
}

func newPlace(t testing.TB) *place {
	t.Helper()
	dir := t.TempDir()
	return newPlaceOn(t, dir, postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")))
}

func newPlaceOn(t testing.TB, dir, database string) *place {
	t.Helper()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	p := &place{t: t, ring: keys.NewRing(kek, vault), served: []identity.TenantID{acme, globex}}
	for _, id := range []identity.TenantID{identity.Platform, acme, globex} {
		must(t, p.ring.Create(t.Context(), id))
	}
	p.db, err = store.Open(t.Context(), database, store.Options{Keys: p.ring, Environment: "test"})
	must(t, err)
	t.Cleanup(func() { _ = p.db.Close() })
	must(t, p.db.Create(t.Context(), acme))
	must(t, p.db.Create(t.Context(), globex))
	p.a, p.b = p.node("a"), p.node("b")
	return p
}

func (p *place) node(name string) *Service {
	return New(Config{Store: p, Keys: p.ring, Node: name, Log: slog.New(slog.DiscardHandler), Tenants: func() []identity.TenantID { return p.served }})
}

// Tenant is for [Stores].
func (p *place) Tenant(id identity.TenantID) store.Tenant {
	if p.meet != nil {
		p.meet()
	}
	if p.away.Load() {
		return store.Tenant{}
	}
	return p.db.Tenant(id)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send keeps requests of acme that came at a time.
func (p *place) send(s *Service, count int, at time.Time) {
	for i := range count {
		s.Keep(acme, 0, false, func() Request {
			return Request{ID: identity.NewRequestID(), Time: at, Token: "tok_1", Method: "GET", Status: 200, Name: fmt.Sprint(i), Details: Details{Understood: []string{"x"}}}
		})
	}
}

// all gives what is kept of acme, as one node finds it page by page.
func (p *place) all(s *Service, limit int) (all []Request) {
	p.t.Helper()
	f := Filter{Limit: limit}
	for {
		page, err := s.Search(p.t.Context(), acme, f)
		must(p.t, err)
		all = append(all, page.Items...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return all
		}
	}
}

// rows is how many there are, old ones too.
func (p *place) rows() (n int) {
	p.t.Helper()
	must(p.t, p.db.Tenant(acme).Read(p.t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(p.t.Context(), tx, store.Scalar[int], `SELECT count(*) FROM scim_requests`)
		return err
	}))
	return n
}

// One search finds what all nodes have written, each once, whatever the pages.
func TestOneSearchSeesAllNodes(t *testing.T) {
	p := newPlace(t)
	now := time.Now()
	for i := range 3 {
		p.send(p.a, 5, now.Add(time.Duration(-i)*time.Second))
		p.send(p.b, 5, now.Add(time.Duration(-i)*time.Second))
	}
	p.a.Flush(t.Context())
	p.b.Flush(t.Context())
	all := p.all(p.a, 7)
	nodes, ids := map[string]int{}, map[identity.RequestID]bool{}
	for _, r := range all {
		nodes[r.Node]++
		ids[r.ID] = true
	}
	if len(all) != 30 || len(ids) != 30 || nodes["a"] != 15 || !slices.IsSortedFunc(all, func(x, y Request) int { return y.Time.Compare(x.Time) }) {
		t.Errorf("found %d, %v", len(all), nodes)
	}
	if _, err := p.a.Search(t.Context(), acme, Filter{Cursor: "nonsense"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
	if _, err := p.a.Get(t.Context(), globex, all[0].ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("P3: at another tenant: %v", err)
	}
	if r, err := p.b.Get(t.Context(), acme, all[0].ID); err != nil || len(r.Understood) != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

// P10: what is kept can be read with the tenant's key alone.
func TestP10_WithoutTheTenantsKeyNothingIsRead(t *testing.T) {
	p := newPlace(t)
	p.send(p.a, 1, time.Now())
	p.a.Flush(t.Context())
	id := p.all(p.a, 10)[0].ID
	must(t, p.ring.Destroy(t.Context(), acme))
	if r, err := p.a.Get(t.Context(), acme, id); err == nil {
		t.Errorf("read as %+v", r)
	}
}

// What is kept is bounded by age, by number and by size, and the oldest go first.
func TestTheOldestGoFirst(t *testing.T) {
	p := newPlace(t)
	now := time.Now()
	p.send(p.a, 3, now.Add(-Kept-time.Minute))
	p.send(p.a, 3, now.Add(-Kept+time.Hour))
	for i := range 20 {
		p.send(p.a, 1, now.Add(time.Duration(i-60)*time.Second))
	}
	p.a.Flush(t.Context())
	if got := len(p.all(p.a, 100)); got != 23 {
		t.Errorf("%d are found before the old ones are removed", got)
	}
	p.a.Prune(t.Context())
	if got := p.rows(); got != 23 {
		t.Errorf("%d are kept, by age", got)
	}
	must(t, p.a.pruneTo(t.Context(), acme, ofClients, now.Add(-Kept), 15, maxBytes))
	left := p.all(p.a, 100)
	if len(left) != 15 || left[14].Time.Before(now.Add(-56*time.Second)) {
		t.Errorf("%d are kept, by number, from %v on", len(left), left[len(left)-1].Time)
	}
	must(t, p.a.pruneTo(t.Context(), acme, ofClients, now.Add(-Kept), maxRequests, 5*(overhead+100)))
	if got := p.rows(); got < 3 || got > 5 {
		t.Errorf("%d are kept, by size", got)
	}
}

// Whoever has no token pushes out nothing that others have sent.
func TestStrangersPushOutNobody(t *testing.T) {
	p := newPlace(t)
	now := time.Now()
	p.send(p.a, 10, now.Add(-time.Hour))
	p.a.Flush(t.Context())
	strangers := make([]Request, maxStrangers+20)
	for i := range strangers {
		strangers[i] = Request{ID: identity.NewRequestID(), Time: now.Add(time.Duration(i-2000) * time.Millisecond), Status: 401, Failed: true}
	}
	_, _, err := p.a.write(t.Context(), acme, &packer{}, strangers)
	must(t, err)
	must(t, p.a.pruneTo(t.Context(), acme, ofClients, now.Add(-Kept), 10, maxBytes))
	if got := p.rows(); got != 10+len(strangers) {
		t.Errorf("%d are kept: strangers count among the others", got)
	}
	p.a.Prune(t.Context())
	all := p.all(p.a, 200)
	if len(all) != 10+maxStrangers || all[0].ID != strangers[len(strangers)-1].ID || all[maxStrangers].Token == "" {
		t.Errorf("%d are kept", len(all))
	}
}

// A queue that is full keeps nobody waiting: the newest are counted, and told of.
func TestWhatThereIsNoRoomForIsCounted(t *testing.T) {
	p := newPlace(t)
	p.send(p.a, maxQueuedOfOne+7, time.Now())
	if p.a.length != maxQueuedOfOne {
		t.Errorf("%d wait", p.a.length)
	}
	p.a.Keep(globex, 0, false, func() Request { return Request{ID: identity.NewRequestID(), Time: time.Now()} }) // which has room of its own
	p.a.Flush(t.Context())
	all := p.all(p.a, 200)
	var lost []int
	for _, r := range all {
		if r.Lost > 0 {
			lost = append(lost, r.Lost)
		}
	}
	if len(all) != maxQueuedOfOne+1 || !slices.Equal(lost, []int{7}) || p.a.length != 0 || p.a.bytes != 0 {
		t.Errorf("%d are kept, %v counted, %d wait", len(all), lost, p.a.length)
	}
	p.a.Keep(acme, maxQueuedBytesOfOne, false, func() Request { panic("it is too large") })
	if p.a.length != 0 {
		t.Error("what is too large waits")
	}
	if page, err := p.a.Search(t.Context(), globex, Filter{Limit: 10}); err != nil || len(page.Items) != 1 {
		t.Errorf("globex has %+v %v", page, err)
	}
}

// While the database is away what came waits, and is written once it is back; what a
// deleted tenant has sent is dropped.
func TestWhatCannotBeWrittenWaits(t *testing.T) {
	p := newPlace(t)
	p.away.Store(true)
	p.send(p.a, 3, time.Now())
	p.a.Flush(t.Context())
	p.send(p.a, 2, time.Now())
	p.a.Flush(t.Context())
	p.away.Store(false)
	if p.a.Flush(t.Context()); len(p.all(p.a, 10)) != 5 {
		t.Errorf("%d are kept", len(p.all(p.a, 10)))
	}
	p.away.Store(true)
	p.send(p.a, 3, time.Now())
	p.a.Flush(t.Context())
	p.a.Forget(acme)
	p.send(p.a, 3, time.Now())
	p.served = []identity.TenantID{globex}
	if p.a.Flush(t.Context()); p.a.length != 0 || len(p.a.queues) != 0 {
		t.Errorf("%d wait of a tenant that is gone", p.a.length)
	}
}

// P8: what waits when the gateway ends is written before it has ended.
func TestP8_TheEndWritesWhatWaits(t *testing.T) {
	p := newPlace(t)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- p.a.Run(ctx) }()
	p.send(p.a, 100, time.Now())
	stop()
	must(t, <-ran)
	if got := p.rows(); got != 100 {
		t.Errorf("%d are kept", got)
	}
}

// One tenant whose database does not answer keeps no other waiting.
func TestTenantsAreWrittenTogether(t *testing.T) {
	p := newPlace(t)
	var there atomic.Int32
	both := make(chan struct{})
	p.meet = func() {
		if there.Add(1) == 2 {
			close(both)
		}
		select {
		case <-both:
		case <-time.After(5 * time.Second):
			t.Error("one waits for the other")
		}
	}
	for _, tenant := range []identity.TenantID{acme, globex} {
		p.a.Keep(tenant, 0, false, func() Request { return Request{ID: identity.NewRequestID(), Time: time.Now()} })
	}
	p.a.Flush(t.Context())
}

// Where there is no room for all, who has sent the most gives some up for who has sent less.
func TestWhoHasTheMostGivesUp(t *testing.T) {
	p := newPlace(t)
	one := func() Request { return Request{ID: identity.NewRequestID(), Time: time.Now()} }
	tenant := func(i int) identity.TenantID { return identity.TenantID(fmt.Sprint("ten_", i)) }
	for i := range maxQueued / maxQueuedOfOne {
		for range maxQueuedOfOne {
			p.a.Keep(tenant(i), 0, false, one)
		}
	}
	for range 5 {
		p.a.Keep(acme, 0, false, one)
	}
	for range 5 {
		p.a.Keep(globex, maxQueuedBytesOfOne-2048, false, one) // of which one has room
	}
	lost, length, bytes := 0, 0, 0
	for i := range maxQueued / maxQueuedOfOne {
		lost += p.a.queues[tenant(i)].lost
	}
	for _, q := range p.a.queues {
		length += len(q.entries)
		for _, e := range q.entries {
			bytes += e.size
		}
	}
	if q := p.a.queues[acme]; len(q.entries) != 5 || q.lost != 0 || lost != 6 || len(p.a.queues[globex].entries) != 1 || p.a.queues[globex].lost != 4 {
		t.Errorf("%d of acme wait, the others have lost %d, globex %d", len(q.entries), lost, p.a.queues[globex].lost)
	}
	if length != p.a.length || bytes != p.a.bytes || length > maxQueued || bytes > maxQueuedBytes {
		t.Errorf("%d of %d bytes wait, counted as %d of %d", length, bytes, p.a.length, p.a.bytes)
	}
}

// What cannot be told of is counted, and ends nothing.
func TestAPanicEndsNothing(t *testing.T) {
	p := newPlace(t)
	var log strings.Builder
	p.a.Log = slog.New(slog.NewTextHandler(&log, nil))
	p.a.Keep(acme, 0, false, func() Request { panic("hunter2") })
	p.send(p.a, 2, time.Now())
	p.a.Flush(t.Context())
	lost := 0
	for _, r := range p.all(p.a, 10) {
		lost += r.Lost
	}
	if got := p.rows(); got != 3 || lost != 1 {
		t.Errorf("%d are kept, %d counted", got, lost)
	}
	if strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "recorder") {
		t.Errorf("logged: %s", log.String())
	}
}

// Who is erased is in no request any more, wherever in however large a one they stood, and
// the others stay.
func TestErasing(t *testing.T) {
	p := newPlace(t)
	many := make([]string, 5000)
	for i := range many {
		many[i] = string(identity.NewUserID())
	}
	ann, bob := string(identity.NewUserID()), string(identity.NewUserID())
	list := func(last string) string { return `{"members":["` + strings.Join(many, `","`) + `","` + last + `"]}` }
	sent := func(text string) Details { return Details{Sent: Text{Text: text}} }
	gone := []Request{
		{Resource: ann}, {Resource: "grp_1", About: []string{"grp_1", bob, strings.ToUpper(ann)}}, {About: append(slices.Clone(many), ann)},
		{Details: sent(list(ann))}, {Path: "/scim/v2/Users/" + ann}, {Details: Details{Query: "filter=members%20eq%20%22" + ann + "%22"}},
		{Details: Details{Understood: []string{`add members = [{"value":"` + ann + `"}]`}}}, {Details: Details{Answer: Text{Text: list(ann)}}},
		{Details: Details{Changes: []Change{{Kind: "Group", ID: "grp_1", Joined: Members{Count: 1, First: []Member{{ID: ann}}}}}}},
	}
	stay := []Request{{Resource: bob, About: []string{bob}}, {Name: "somebody"}, {Details: sent(list(bob))}}
	for _, r := range slices.Concat(gone, stay) {
		r.ID, r.Time = identity.NewRequestID(), time.Now()
		p.a.Keep(acme, 0, false, func() Request { return r })
	}
	p.a.Flush(t.Context())
	found := func(id string) int {
		page, err := p.a.Search(t.Context(), acme, Filter{About: id, Limit: 100})
		must(t, err)
		return len(page.Items)
	}
	if n := found(ann); n != len(gone) {
		t.Errorf("%d are found by the id, want %d", n, len(gone))
	}
	must(t, p.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error { return Erase(t.Context(), tx, identity.UserID(ann)) }))
	if all := p.all(p.a, 100); len(all) != len(stay) || found(ann) != 0 || found(bob) != 2 {
		t.Errorf("left: %+v", all)
	}
}

// A body is kept as large as the service takes one, and as it is, whatever is in it.
func TestALargeBodyIsKept(t *testing.T) {
	p := newPlace(t)
	id := identity.NewRequestID()
	sent := strings.Repeat("<\"\n\u2028", MaxSent/6)
	p.a.Keep(acme, MaxSent, false, func() Request {
		return Request{ID: id, Time: time.Now(), Details: Details{Sent: Text{Text: sent}, Understood: []string{"x"}, Changes: []Change{{ID: "1"}}}}
	})
	p.a.Flush(t.Context())
	r, err := p.b.Get(t.Context(), acme, id)
	if err != nil || r.Sent.Text != sent || len(r.Understood) != 1 || len(r.Changes) != 1 {
		t.Errorf("%d bytes of %d are kept, with %q and %v, %v", len(r.Sent.Text), len(sent), r.Understood, r.Changes, err)
	}
}

// Large ones are looked for long before there are too many: what is kept stays in bounds.
func TestWhatIsLargeIsPrunedSoon(t *testing.T) {
	p := newPlace(t)
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	text := base64.StdEncoding.EncodeToString(noise)
	pruned := 0
	for range 12 {
		p.a.Keep(acme, 0, false, func() Request {
			return Request{ID: identity.NewRequestID(), Time: time.Now(), Details: Details{Sent: Text{Text: text}}}
		})
		if p.a.Flush(t.Context()); p.a.written[acme] == (written{}) {
			pruned++
		}
	}
	if pruned != 2 {
		t.Errorf("with 36 MiB that were written it was looked for them %d times", pruned)
	}
}

// sealsOnly seals so many times, and then no more.
type sealsOnly struct {
	Keys
	left int
}

func (k *sealsOnly) Seal(ctx context.Context, tenant identity.TenantID, purpose string, plain []byte) ([]byte, error) {
	if k.left == 0 {
		return nil, errors.New("no key")
	}
	k.left--
	return k.Keys.Seal(ctx, tenant, purpose, plain)
}

// What is much is written in several steps, and what a failure comes behind is kept.
func TestWhatIsMuchIsWrittenInSteps(t *testing.T) {
	p := newPlace(t)
	noise := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	text := base64.StdEncoding.EncodeToString(noise)
	for range 5 {
		p.a.Keep(acme, 0, false, func() Request {
			return Request{ID: identity.NewRequestID(), Time: time.Now(), Details: Details{Sent: Text{Text: text}}}
		})
	}
	p.a.Keys = &sealsOnly{p.ring, 3}
	p.a.Flush(t.Context())
	if n := p.rows(); n != 2 {
		t.Errorf("%d are kept of the first step", n)
	}
	p.a.Keys = p.ring
	p.a.Flush(t.Context())
	if n := p.rows(); n != 5 {
		t.Errorf("%d are kept in the end", n)
	}
}

// What is large is kept in part.
func TestDetailsAreBounded(t *testing.T) {
	p := newPlace(t)
	big := Details{}
	for i := range MaxChanges {
		big.Changes = append(big.Changes, Change{ID: fmt.Sprint(i), Attributes: []Attribute{{Name: "x", After: strings.Repeat("y", 2000)}}})
	}
	id := identity.NewRequestID()
	p.a.Keep(acme, 0, false, func() Request { return Request{ID: id, Time: time.Now(), Details: big} })
	p.a.Flush(t.Context())
	r, err := p.a.Get(t.Context(), acme, id)
	if err != nil || len(r.Changes) == 0 || len(r.Changes) > MaxDetails/2000 {
		t.Errorf("%d changes are kept, %v", len(r.Changes), err)
	}
}

// After thirty days a request is gone, with nobody asking for it.
func TestThirtyDays(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaceOn(t, dir, "sqlite://"+filepath.Join(dir, "db"))
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- p.a.Run(ctx) }()
		p.send(p.a, 3, time.Now())
		time.Sleep(Kept - time.Hour)
		if got := p.rows(); got != 3 {
			t.Errorf("before that %d are kept", got)
		}
		time.Sleep(2*time.Hour + time.Minute)
		if got := p.rows(); got != 0 {
			t.Errorf("after that %d are kept", got)
		}
		stop()
		must(t, <-ran)
		must(t, p.db.Close())
	})
}
