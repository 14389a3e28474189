package store

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"gatehouse/identity"
)

const (
	// openWait bounds an opening, the wait for room in the pool included.
	openWait = 5 * time.Second
	// closeWait bounds how long [DB.Close] waits for transactions under way.
	closeWait = 10 * time.Second
)

var (
	errClosed   = errors.New("store: closed")
	errDropping = errors.New("store: the tenant's database is being removed")
	errBusy     = errors.New("store: too many databases in use at once")
)

// pool keeps at most a fixed number of databases open, counts who uses them,
// and closes those that nobody does.
type pool struct {
	open  func(ctx context.Context, id identity.TenantID) (*file, error)
	slots chan struct{} // one token per open database

	mu       sync.Mutex
	entries  map[identity.TenantID]*entry
	dropping map[identity.TenantID]struct{}
	waiting  int // callers for whom no slot was free
	closed   bool
}

// entry is one database in the pool. Its fields are guarded by the pool's lock,
// save file and err, which are set before ready is closed.
type entry struct {
	id     identity.TenantID
	ready  chan struct{} // closed when the opening has ended
	file   *file
	err    error
	refs   int
	used   time.Time
	gone   bool          // no longer in the pool: closed by its last user
	closed chan struct{} // closed when the file is
}

func newPool(size int, open func(context.Context, identity.TenantID) (*file, error)) *pool {
	return &pool{
		open:     open,
		slots:    make(chan struct{}, size),
		entries:  map[identity.TenantID]*entry{},
		dropping: map[identity.TenantID]struct{}{},
	}
}

// use runs fn with the tenant's open database.
func (p *pool) use(ctx context.Context, id identity.TenantID, fn func(*file) error) error {
	e, err := p.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer p.release(e)
	return classify(ctx, fn(e.file))
}

// acquire finds or opens a database. One whose file was replaced on disk is
// given up and opened anew; release must follow.
func (p *pool) acquire(ctx context.Context, id identity.TenantID) (*entry, error) {
	for {
		e, opener, err := p.enter(id)
		if err != nil {
			return nil, unavailable(err)
		}
		if opener {
			p.fill(ctx, e)
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			p.release(e)
			return nil, ctx.Err()
		}
		err = e.err
		if err == nil {
			err = e.file.probe()
		}
		if err == nil {
			return e, nil
		}
		p.retire(e)
		p.release(e)
		if !errors.Is(err, errReplaced) || opener {
			return nil, unavailable(err)
		}
	}
}

// enter takes a reference on the tenant's entry; opener says that the caller
// has made it and must fill it.
func (p *pool) enter(id identity.TenantID) (e *entry, opener bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, errClosed
	}
	if _, ok := p.dropping[id]; ok {
		return nil, false, errDropping
	}
	e = p.entries[id]
	if e == nil {
		e = &entry{id: id, ready: make(chan struct{}), closed: make(chan struct{})}
		p.entries[id] = e
		opener = true
	}
	e.refs++
	return e, opener, nil
}

// fill opens the entry's database. Others may be waiting for it, so it does not
// end with the context of the caller that happened to be first.
func (p *pool) fill(ctx context.Context, e *entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openWait)
	defer cancel()
	defer close(e.ready)
	if e.err = p.takeSlot(ctx); e.err != nil {
		return
	}
	if e.file, e.err = p.open(ctx, e.id); e.err != nil {
		<-p.slots
	}
}

// takeSlot makes room for one more open database: by closing the one that was
// unused for longest, or by waiting until somebody is done.
func (p *pool) takeSlot(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	p.mu.Lock()
	oldest := p.oldestIdle()
	if oldest != nil {
		p.remove(oldest)
	}
	p.waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	if oldest != nil {
		p.shut(oldest)
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errBusy
	}
}

func (p *pool) oldestIdle() (oldest *entry) {
	for _, e := range p.entries {
		if e.refs == 0 && (oldest == nil || e.used.Before(oldest.used)) {
			oldest = e
		}
	}
	return oldest
}

// release gives a reference back; the last one closes what nobody shall find
// any more, or whose room somebody waits for.
func (p *pool) release(e *entry) {
	p.mu.Lock()
	e.refs--
	e.used = time.Now()
	last := e.refs == 0 && (e.gone || p.waiting > 0)
	if last {
		p.remove(e)
	}
	p.mu.Unlock()
	if last {
		p.shut(e)
	}
}

// retire takes an entry out of the pool; its last user closes it.
func (p *pool) retire(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(e)
}

// remove needs the lock. An entry without users must be shut afterwards.
func (p *pool) remove(e *entry) {
	e.gone = true
	if p.entries[e.id] == e {
		delete(p.entries, e.id)
	}
}

// shut closes a removed entry that has no users.
func (p *pool) shut(e *entry) {
	if e.file != nil {
		// What cannot be checkpointed now is in the write-ahead log and will be at
		// the next opening, which reports what is wrong.
		_ = e.file.close()
		<-p.slots
	}
	close(e.closed)
}

// check looks at the tenant's file; path is where it must be. If the one that
// is open has been replaced, it opens the new one to see whether that can be
// used; if none is open, it leaves the judgement to header.
func (p *pool) check(ctx context.Context, id identity.TenantID, path string, header func() error) error {
	if _, err := statReadable(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			p.forget(id)
		}
		return unavailable(err)
	}
	p.mu.Lock()
	e, closed := p.entries[id], p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return unavailable(errClosed)
	case e == nil:
		if err := header(); err != nil {
			return unavailable(err)
		}
		return nil
	}
	select {
	case <-e.ready:
	default:
		return nil // being opened: whoever waits for it will hear
	}
	if e.err == nil && e.file.probe() == nil {
		return nil
	}
	e, err := p.acquire(ctx, id)
	if err != nil {
		return err
	}
	p.release(e)
	return nil
}

// forget closes the tenant's database, at once or with its last user, and
// returns its entry, or nil if it was not open.
func (p *pool) forget(id identity.TenantID) *entry {
	p.mu.Lock()
	e := p.entries[id]
	if e == nil {
		p.mu.Unlock()
		return nil
	}
	p.remove(e)
	idle := e.refs == 0
	p.mu.Unlock()
	if idle {
		p.shut(e)
	}
	return e
}

// drop closes the tenant's database, waits for its users, and runs erase while
// nobody can open it again.
func (p *pool) drop(ctx context.Context, id identity.TenantID, erase func() error) error {
	p.mu.Lock()
	if _, ok := p.dropping[id]; ok {
		p.mu.Unlock()
		return unavailable(errDropping)
	}
	p.dropping[id] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.dropping, id)
		p.mu.Unlock()
	}()
	if e := p.forget(id); e != nil {
		select {
		case <-e.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return erase()
}

// closeIdle closes the databases that were not used since then.
func (p *pool) closeIdle(since time.Time) {
	p.mu.Lock()
	var idle []*entry
	for _, e := range p.entries {
		if e.refs == 0 && e.used.Before(since) {
			idle = append(idle, e)
		}
	}
	for _, e := range idle {
		p.remove(e)
	}
	p.mu.Unlock()
	for _, e := range idle {
		p.shut(e)
	}
}

// close refuses further uses and waits for those under way.
func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	var ids []identity.TenantID
	for id := range p.entries {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	limit := time.NewTimer(closeWait)
	defer limit.Stop()
	var open []*entry
	for _, id := range ids {
		if e := p.forget(id); e != nil {
			open = append(open, e)
		}
	}
	for _, e := range open {
		select {
		case <-e.closed:
		case <-limit.C:
			return errors.New("store: a transaction did not end in time")
		}
	}
	return nil
}
