package sessions

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// flushEvery is how much of the last-seen times a crash may lose.
	flushEvery = 30 * time.Second
	// sweepEvery is how long streams may outlive their session's time limits, and
	// sweepAllEvery how long sessions may that nobody uses: no request finds them.
	sweepEvery    = 5 * time.Second
	sweepAllEvery = time.Minute
	flushBatch    = 500
	// purgeEvery is how often rows that nobody will ask for are deleted, and
	// purgeBatch how many at a time, so that no sign-in waits long for it.
	purgeEvery = time.Hour
	purgeBatch = 1000
	// keepEnded is how long an ended session stays in lists; the journal tells
	// of it for longer.
	keepEnded = 90 * 24 * time.Hour
	// keepDevice is how long the cookie that recognises a device lives.
	keepDevice = 400 * 24 * time.Hour
	// keepUnlinked is how long what was unlinked is known: longer than any session lasts.
	keepUnlinked = 400 * 24 * time.Hour
)

// Run writes last-seen times behind, ends sessions that ran out and writes to SQL
// what it is owed, until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	var settling sync.WaitGroup
	defer settling.Wait()
	settling.Go(func() { s.settleAlways(ctx) })
	flush, sweep, purge := time.NewTicker(flushEvery), time.NewTicker(sweepEvery), time.NewTicker(purgeEvery)
	defer flush.Stop()
	defer sweep.Stop()
	defer purge.Stop()
	sweepAll := time.NewTicker(sweepAllEvery)
	defer sweepAll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
			s.flush(ctx)
		case <-sweep.C:
			s.sweep(ctx, s.registry.Active)
		case <-sweepAll.C:
			s.sweep(ctx, s.registry.All)
		case <-purge.C:
			s.purge(ctx)
		}
	}
}

// Close writes the last-seen times down and waits for what is under way. Run
// has returned before, and nobody calls the service any more.
func (s *Service) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), effectTime)
	defer cancel()
	close(s.closed)
	s.work.Wait()
	s.flush(ctx)
	return s.registry.Close()
}

// flush writes the last-seen times that SQL does not know. A tenant that
// cannot be written is tried again next time.
func (s *Service) flush(ctx context.Context) {
	for _, tenant := range s.registry.Tenants() {
		var late []*Live
		for live := range s.registry.Active(tenant) {
			if live.seen.Load() > live.saved.Load() {
				late = append(late, live)
			}
		}
		for batch := range slices.Chunk(late, flushBatch) {
			if err := s.saveSeen(ctx, tenant, batch); err != nil {
				s.log.Warn("last-seen times were not written", "tenant", tenant, "error", err)
				break
			}
		}
	}
}

func (s *Service) saveSeen(ctx context.Context, tenant identity.TenantID, batch []*Live) error {
	seen := make([]int64, len(batch))
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		for i, live := range batch {
			seen[i] = live.seen.Load()
			if _, err := tx.Exec(ctx, `UPDATE sessions SET seen_at = $1 WHERE id = $2 AND seen_at < $1`, seen[i], live.session.ID); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE devices SET last_seen = $1 WHERE id = $2 AND last_seen < $1`, seen[i], live.session.Device); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, live := range batch {
		live.saved.Store(seen[i])
	}
	return nil
}

// sweep ends the sessions that ran out, so that their streams close too: a
// stream asks nobody whether its session still lives.
func (s *Service) sweep(ctx context.Context, among func(identity.TenantID) iter.Seq[*Live]) {
	for _, tenant := range s.registry.Tenants() {
		limits := s.limits(tenant)
		idle, absolute := limits.Idle, limits.Absolute
		now := time.Now().UnixMilli()
		for live := range among(tenant) {
			if !live.expired(now, idle, absolute) {
				continue
			}
			over, err := s.over(ctx, live, now, idle, absolute)
			if err == nil && over {
				err = s.expire(ctx, live)
			}
			if err != nil {
				s.log.Warn("an expired session was not ended", "tenant", tenant, "session", live.session.ID, "error", err)
				break
			}
		}
	}
}

func (s *Service) expire(ctx context.Context, live *Live) error {
	tenant, this := live.session.Tenant, Selector{Session: live.session.ID}
	event := audit.SystemCause().Event(tenant, audit.SessionExpired, audit.Success)
	event.Reason, event.Session, event.Device = ReasonExpired, live.session.ID, live.session.Device
	event.Target = audit.Target{Kind: "user", ID: string(live.session.User)}
	event.Target.Name, _ = s.nameOf(ctx, tenant, Selector{User: live.session.User})
	if _, err := s.journal.Commit(ctx, event); err != nil {
		return err
	}
	_, _, err := s.end(ctx, tenant, this, ReasonExpired)
	return err
}

// purge ends what deleted people and connections have left behind, and deletes
// sessions that ended long ago and devices whose cookie has run out; a blocked device stays blocked.
func (s *Service) purge(ctx context.Context) {
	for _, tenant := range s.registry.Tenants() {
		if err := s.endOrphans(ctx, tenant, departed); err != nil {
			s.log.Warn("sessions of deleted people and connections were not ended", "tenant", tenant, "error", err)
		}
		for _, old := range []struct {
			query  string
			before time.Time
		}{
			{`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_at < $1 LIMIT $2)`, time.Now().Add(-keepEnded)},
			{`DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE last_seen < $1 AND NOT blocked LIMIT $2)`, time.Now().Add(-keepDevice)},
			{`DELETE FROM unlinked_identities WHERE (connection_id, subject, user_id) IN (
				SELECT connection_id, subject, user_id FROM unlinked_identities WHERE unlinked_at < $1 LIMIT $2)`, time.Now().Add(-keepUnlinked)},
		} {
			if err := s.deleteOld(ctx, tenant, old.query, old.before); err != nil {
				s.log.Warn("old sessions and devices were not deleted", "tenant", tenant, "error", err)
				break
			}
		}
	}
}

func (s *Service) deleteOld(ctx context.Context, tenant identity.TenantID, query string, before time.Time) error {
	for {
		var n int64
		err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(ctx, query, store.Millis(before), purgeBatch)
			return err
		})
		if err != nil || n < purgeBatch {
			return err
		}
	}
}
