package shared

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/sessions"
)

//go:embed *.lua
var sources embed.FS

var (
	getScript    = script("get.lua")
	fillScript   = script("fill.lua")
	removeScript = script("remove.lua")
)

func script(name string) *redis.Script {
	var text []byte
	for _, name := range []string{"part.lua", name} {
		part, err := sources.ReadFile(name)
		if err != nil {
			panic(err) // the name of a file that is not embedded
		}
		text = append(text, part...)
	}
	return redis.NewScript(string(text))
}

const (
	// reach bounds one step in Redis.
	reach = 500 * time.Millisecond
	// removeBatch is how many sessions one step takes out; Lua's unpack takes a few
	// thousand.
	removeBatch = 1000
	// maxCopy bounds what is read as a session.
	maxCopy = 64 << 10
	// purposeCopy is what copies are sealed for: a backup of Redis must not tell of
	// a tenant that was deleted (P10).
	purposeCopy = "sessions.copy"
)

// copies are the live sessions in Redis: one part per tenant, in a slot of its
// own.
type copies struct {
	client      redis.UniversalClient
	keys        sessions.Sealer
	bus         cluster.Bus
	environment string

	stock *stock

	mu sync.Mutex
	// stale counts, per tenant, the ends that could not be made true in Redis. Such
	// a part is not relied on before it has been dropped.
	stale map[identity.TenantID]int
}

// part is what Redis says of one session.
type part struct {
	rev  string         // of the tenant's part
	live *sessions.Live // nil if it is not there
}

func (c *copies) distrust(tenant identity.TenantID) {
	c.mu.Lock()
	c.stale[tenant]++
	c.mu.Unlock()
	c.stock.lacks(tenant)
}

// run runs a step, which also drops a part that is known to be stale.
func (c *copies) run(ctx context.Context, s *redis.Script, tenant identity.TenantID, args ...any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	c.mu.Lock()
	stale := c.stale[tenant]
	c.mu.Unlock()
	drop := "0"
	if stale > 0 {
		drop = "1"
	}
	args = append([]any{strconv.FormatUint(c.bus.State().Epoch, 10), crand.Text(), drop}, args...)
	answer := s.Run(ctx, c.client, []string{c.key(tenant)}, args...)
	if stale > 0 && answer.Err() == nil {
		c.mu.Lock()
		if c.stale[tenant] == stale { // no other has come meanwhile
			delete(c.stale, tenant)
		}
		c.mu.Unlock()
	}
	return answer
}

func (c *copies) key(tenant identity.TenantID) string {
	return c.environment + ":{" + string(tenant) + "}:sessions"
}

var (
	errAnswer     = errors.New("shared: redis: an answer that makes no sense")
	errUnreadable = errors.New("shared: redis: a copy that cannot be read")
)

func (c *copies) get(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (part, error) {
	answer, err := c.run(ctx, getScript, tenant, hash[:]).StringSlice()
	switch {
	case err != nil:
		return part{}, err
	case len(answer) != 3 || len(answer[1]) > maxCopy:
		return part{}, errAnswer
	}
	if answer[2] == "" {
		c.stock.lacks(tenant)
	}
	if answer[1] == "" {
		return part{rev: answer[0]}, nil
	}
	live, err := c.open(ctx, tenant, hash, []byte(answer[1]))
	if err != nil {
		return part{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return part{rev: answer[0], live: live}, nil
}

// seal writes a session down as it stands in Redis. Its token's hash is inside, so
// that it is nobody else's.
func (c *copies) seal(ctx context.Context, tenant identity.TenantID, live *sessions.Live) ([]byte, error) {
	s, hash := live.Session(), live.Hash()
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return c.keys.Seal(ctx, tenant, purposeCopy, append(hash[:], text...))
}

func (c *copies) open(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash, sealed []byte) (*sessions.Live, error) {
	text, err := c.keys.Open(ctx, tenant, purposeCopy, sealed)
	if err != nil {
		return nil, err
	}
	text, ours := bytes.CutPrefix(text, hash[:])
	var s sessions.Session
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if !ours || s.Tenant != tenant || s.ID == "" {
		return nil, errAnswer
	}
	return sessions.NewLive(s, hash), nil
}

func (c *copies) remove(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) error {
	for batch := range slices.Chunk(hashes, removeBatch) {
		args := make([]any, len(batch))
		for i := range batch {
			args[i] = batch[i][:]
		}
		if err := c.run(ctx, removeScript, tenant, args...).Err(); err != nil {
			return err
		}
	}
	return nil
}

func (c *copies) forget(ctx context.Context, tenant identity.TenantID) error {
	c.stock.forget(tenant)
	ctx, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	return c.client.Unlink(ctx, c.key(tenant)).Err()
}
