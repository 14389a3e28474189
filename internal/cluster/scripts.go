package cluster

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed *.lua
var sources embed.FS

var (
	lookScript    = script("standing.lua", "look.lua")
	initScript    = script("init.lua")
	renewScript   = script("check.lua", "standing.lua", "renew.lua")
	publishScript = script("check.lua", "standing.lua", "publish.lua")
	ackScript     = script("check.lua", "ack.lua")
	leaveScript   = script("check.lua", "leave.lua")
	keptScript    = script("check.lua", "kept.lua")
	unkeepScript  = script("check.lua", "unkeep.lua")
)

func script(files ...string) *redis.Script {
	var text strings.Builder
	for _, name := range files {
		part, err := sources.ReadFile(name)
		if err != nil {
			panic(err) // the name of a file that is not embedded
		}
		text.Write(part)
	}
	return redis.NewScript(text.String())
}

// errEpoch is a step that met another epoch, or none.
var errEpoch = errors.New("cluster: Redis does not hold the history of the epoch")

// reach bounds one step in Redis, dialling included.
const reach = 500 * time.Millisecond

// keys are the bus's names in Redis, all in one slot of a Redis Cluster.
type keys struct{ prefix string }

func keysOf(environment string) keys { return keys{prefix: environment + ":{gatehouse}:"} }

func (k keys) bus() string             { return k.prefix + "bus" }
func (k keys) probe() string           { return k.prefix + "probe" }
func (k keys) acks(id string) string   { return k.prefix + "acks:" + id }
func (k keys) log(epoch uint64) string { return k.prefix + "log:" + number(epoch) }
func number(n uint64) string           { return strconv.FormatUint(n, 10) }
func parseNumber(s string) uint64      { n, _ := strconv.ParseUint(s, 10, 64); return n }

// run runs a script and names the refusal that all of them share.
func (b *Redis) run(ctx context.Context, s *redis.Script, keys []string, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	answer, err := s.Run(ctx, b.client, keys, args...).Result()
	switch {
	case redis.HasErrorPrefix(err, "EPOCH"):
		return nil, errEpoch
	case err != nil:
		return nil, fmt.Errorf("cluster: redis: %w", err)
	}
	return answer, nil
}

// standing is what renew and publish answer.
type standing struct {
	seq     uint64
	members map[string]string // by id, with the last renewal
}

func parseStanding(answer []string) (standing, error) {
	if len(answer)%2 == 0 {
		return standing{}, errAnswer
	}
	got := standing{seq: parseNumber(answer[0]), members: make(map[string]string, len(answer)/2)}
	for i := 1; i < len(answer); i += 2 {
		got.members[answer[i]] = answer[i+1]
	}
	return got, nil
}

var errAnswer = errors.New("cluster: redis: an answer that makes no sense")

// texts is a script's flat answer.
func texts(answer any) ([]string, error) {
	list, ok := answer.([]any)
	if !ok {
		return nil, errAnswer
	}
	out := make([]string, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case string:
			out[i] = v
		case int64:
			out[i] = strconv.FormatInt(v, 10)
		default:
			return nil, errAnswer
		}
	}
	return out, nil
}
