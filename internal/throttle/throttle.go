// Package throttle limits how often something may be done, on all nodes together.
//
// It exists because a flood comes in by every node: one that each of them lets
// through is as many floods as there are nodes. Redis keeps count where the nodes
// have one in common; where there is none, or while it is away, each node counts for
// itself, and refuses no more than it would then. It must not know what is limited.
package throttle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"
)

const (
	// reach bounds one question to Redis, and rest is how long it is left alone after
	// one that failed: whoever asks waits for it, and it is no more than a limit.
	reach = 100 * time.Millisecond
	rest  = time.Second
	// shards spread the keys over locks, of which each keeps so many.
	shards  = 64
	maxKeys = 1024
	// compared is how many keys are looked at when one has to go.
	compared = 16
)

// Limit is how often something may be done: once every so often, and Burst times at
// once.
type Limit struct {
	Every time.Duration
	Burst int
}

// PerSecond makes a limit of so many a second.
func PerSecond(n float64, burst int) Limit {
	return Limit{Every: time.Duration(float64(time.Second) / n), Burst: burst}
}

// Throttle counts by keys. What it keeps is bounded: when there are too many keys,
// some are forgotten here, and in Redis they expire.
type Throttle struct {
	shared *redis_rate.Limiter // nil: each node for itself
	prefix string
	away   atomic.Int64 // until when Redis is left alone, in nanoseconds since began
	began  time.Time
	log    *slog.Logger
	own    [shards]shard
}

type shard struct {
	mu   sync.Mutex
	kept map[id]*rate.Limiter
}

// id is a key as it is kept: keys may be long, and hold what is nobody's business.
type id [16]byte

// New makes a throttle. Nodes of one environment with the same Redis count together;
// nil: this node counts alone.
func New(client redis.UniversalClient, environment string, log *slog.Logger) *Throttle {
	t := &Throttle{prefix: environment + ":throttle:", began: time.Now(), log: log}
	if client != nil {
		t.shared = redis_rate.NewLimiter(client)
	}
	for i := range t.own {
		t.own[i].kept = map[id]*rate.Limiter{}
	}
	return t
}

// Allow reports whether what has this key may be done once more now, and otherwise
// when to ask again. A key has one limit.
func (t *Throttle) Allow(ctx context.Context, key string, limit Limit) (ok bool, retryAfter time.Duration) {
	return t.AllowN(ctx, key, limit, 1)
}

// AllowN is [Throttle.Allow] for so many times at once: all of them or none. More than
// the burst count as the burst.
func (t *Throttle) AllowN(ctx context.Context, key string, limit Limit, n int) (ok bool, retryAfter time.Duration) {
	n = min(n, limit.Burst)
	sum := sha256.Sum256([]byte(key))
	k := id(sum[:len(id{})])
	// What is too much for this node alone is too much for all, and costs nobody else
	// anything. And should Redis go away, this one has counted already.
	if ok, wait := t.own[k[0]%shards].allow(k, limit, n); !ok || t.shared == nil {
		return ok, wait
	}
	now := time.Since(t.began)
	if int64(now) < t.away.Load() {
		return true, 0
	}
	ask, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	result, err := t.shared.AllowN(ask, t.prefix+hex.EncodeToString(k[:]), redis_rate.Limit{Rate: 1, Burst: limit.Burst, Period: limit.Every}, n)
	switch {
	case err != nil && ctx.Err() != nil:
		return true, 0 // the caller has gone
	case err != nil:
		t.away.Store(int64(now + rest))
		t.log.WarnContext(ctx, "this node limits for itself: Redis cannot be asked", "error", err)
		return true, 0
	case result.Allowed == 0:
		return false, max(result.RetryAfter, time.Millisecond)
	}
	return true, 0
}

func (s *shard) allow(k id, limit Limit, n int) (bool, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, ok := s.kept[k]
	if !ok {
		s.makeRoom()
		bucket = rate.NewLimiter(rate.Every(limit.Every), limit.Burst)
		s.kept[k] = bucket
	}
	now := time.Now()
	place := bucket.ReserveN(now, n)
	wait := place.DelayFrom(now)
	if wait == 0 {
		return true, 0
	}
	place.CancelAt(now) // who is refused takes nothing
	return false, wait
}

// makeRoom forgets, of some keys, the one that has the most left: so one that was used
// up stays so, however many others there are. The keys come in no order, so that
// nobody chooses which.
func (s *shard) makeRoom() {
	if len(s.kept) < maxKeys {
		return
	}
	var idlest id
	most, now, seen := -1.0, time.Now(), 0
	for k, bucket := range s.kept {
		if left := bucket.TokensAt(now) / float64(bucket.Burst()); left > most {
			idlest, most = k, left
		}
		if seen++; seen == compared {
			break
		}
	}
	delete(s.kept, idlest)
}
