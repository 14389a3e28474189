package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestTheInboxIsBounded(t *testing.T) {
	life := newLife()
	in := newInbox(life)
	release := make(chan struct{})
	in.topics["slow"] = func(context.Context, Message) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) { <-release; return nil, nil }
	}
	over := make(chan error, maxWaits+1)
	for i := range maxWaits + 1 {
		in.take(t.Context(), Message{ID: fmt.Sprint("slow-", i), Topic: "slow"}, func(_ []byte, err error) { over <- err })
	}
	if err := <-over; !errors.Is(err, errBusy) {
		t.Errorf("with %d waits under way, one more gives %v", maxWaits, err)
	}
	close(release)
	for range maxWaits {
		if err := <-over; err != nil {
			t.Fatal(err)
		}
	}
	var applied int
	in.topics["quick"] = func(context.Context, Message) func(context.Context) ([]byte, error) { applied++; return nil }
	const many = remembered + 100
	for i := range many {
		in.take(t.Context(), Message{ID: fmt.Sprint("quick-", i), Topic: "quick"}, func([]byte, error) {})
	}
	if len(in.known) != remembered {
		t.Errorf("%d ids are remembered", len(in.known))
	}
	in.take(t.Context(), Message{ID: fmt.Sprint("quick-", many-1), Topic: "quick"}, func([]byte, error) { t.Error("told of twice") })
	if applied != many {
		t.Errorf("%d messages were applied, of %d", applied, many)
	}
	life.close()
}

// TestAWaitEndsWithItsTime: nobody's wait outlasts the bus's own bound.
func TestAWaitEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewAlone("one")
		b.Subscribe("test", func(context.Context, Message) func(context.Context) ([]byte, error) {
			return func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
		})
		start := time.Now()
		if _, err := b.Publish(t.Context(), Message{Topic: "test"}); err == nil {
			t.Error("no error")
		}
		if took := time.Since(start); took != waitTime {
			t.Errorf("it took %v", took)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestP2_AHoleInTheLogIsNoticed: the reader goes on with the next number only,
// and with what it can read only.
func TestP2_AHoleInTheLogIsNoticed(t *testing.T) {
	life := newLife()
	defer life.close()
	b := &Redis{id: "me", life: life, inbox: newInbox(life), acks: make(chan ack, 1)}
	term := &term{ctx: t.Context(), applied: 5, moved: make(chan struct{})}
	values := map[string]any{"from": "you", "id": "x", "topic": "test", "body": ""}
	for id, values := range map[string]map[string]any{
		"7-0": values, "5-0": values, "6-1": values, "x": values,
		"6-0": {"from": "you", "id": "x", "topic": strings.Repeat("t", maxTopic+1)},
	} {
		if err := b.receive(term, redis.XMessage{ID: id, Values: values}); !errors.Is(err, errMissing) || term.applied != 5 {
			t.Errorf("%s after 5 gives %v", id, err)
		}
	}
	if err := b.receive(term, redis.XMessage{ID: "6-0", Values: values}); err != nil || term.applied != 6 {
		t.Errorf("6-0 after 5 gives %v", err)
	}
	if a := <-b.acks; a.to != "you" || a.message != "x" || !a.Confirmed {
		t.Errorf("the answer is %+v", a)
	}
}

// slowArbiter answers each question when it is told to.
type slowArbiter struct {
	Arbiter
	asked  chan struct{}
	answer chan Epoch
}

func (a *slowArbiter) Epoch(context.Context) (Epoch, error) {
	a.asked <- struct{}{}
	return <-a.answer, nil
}

// TestP2_AnAnswerIsNeverOlderThanTheQuestion is what Publish rests on.
func TestP2_AnAnswerIsNeverOlderThanTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowArbiter{asked: make(chan struct{}), answer: make(chan Epoch)}
		life := newLife()
		start := time.Now()
		a := &asker{arbiter: slow, life: life, now: func() time.Duration { return time.Since(start) }, hear: func(*question) {}, news: make(chan struct{}, 1)}
		got := make(chan *question, 3)
		go func() { got <- a.ask(t.Context()) }()
		<-slow.asked
		// These ask while the first question is under way: they share the second.
		for range 2 {
			go func() { got <- a.ask(t.Context()) }()
		}
		synctest.Wait()
		slow.answer <- Epoch{Number: 1}
		if q := <-got; q.epoch.Number != 1 {
			t.Errorf("the first is answered %+v", q.epoch)
		}
		<-slow.asked
		slow.answer <- Epoch{Number: 2}
		for range 2 {
			if q := <-got; q.epoch.Number != 2 {
				t.Errorf("who asked later is answered %+v", q.epoch)
			}
		}
		life.close()
		if a.ask(t.Context()) != nil {
			t.Error("answered after the end")
		}
	})
}

// TestP2_AFailedQuestionCountsWithinALease: a node that has joined, and then stood
// still until SQL was away, may have missed what went through SQL meanwhile.
func TestP2_AFailedQuestionCountsWithinALease(t *testing.T) {
	for stood, fresh := range map[time.Duration]bool{Lease - 1: true, Lease: false} {
		synctest.Test(t, func(t *testing.T) {
			b := &Redis{base: time.Now().Add(-time.Nanosecond)}
			b.redisOK, b.tried = true, true
			b.term = &term{settled: true, ctx: t.Context()}
			b.digest(t.Context(), &question{sent: b.now()})
			time.Sleep(stood)
			b.digest(t.Context(), &question{sent: b.now(), err: errors.New("SQL is away")})
			b.mu.Lock()
			b.term.renewed = b.now()
			b.prove(b.term)
			b.mu.Unlock()
			if b.Fresh() != fresh {
				t.Errorf("fresh after it stood still for %v: %v", stood, b.Fresh())
			}
		})
	}
}

// TestP2_ALongSilenceIsNoSteadyAnswer: what SQL did while this node stood still is
// not known, so the wait for a message that went through SQL begins anew.
func TestP2_ALongSilenceIsNoSteadyAnswer(t *testing.T) {
	for silent, steady := range map[time.Duration]bool{interval + askTime: true, interval + askTime + 1: false} {
		synctest.Test(t, func(t *testing.T) {
			b := &Redis{base: time.Now().Add(-time.Nanosecond)}
			b.hear(&question{sent: b.now()})
			since := b.steady
			time.Sleep(silent)
			b.hear(&question{sent: b.now()})
			if (b.steady == since) != steady {
				t.Errorf("after %v of silence it is steady since %v, as before: %v", silent, b.steady, b.steady == since)
			}
		})
	}
}

// TestP2_WhoFallsSilentIsMissedOnce tells the dead from those who live.
func TestP2_WhoFallsSilentIsMissedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := newLife()
		defer life.close()
		b := &Redis{id: "me#1", life: life, base: time.Now(), members: map[string]member{}, signs: map[sign]time.Duration{}, waking: make(chan struct{}, 1)}
		epoch := &term{epoch: Epoch{Number: 1}}
		renewals := 0
		// For a while each node shows what it does, every half a second; then it is
		// counted how often somebody was missed.
		pass := func(leases int, members, listed []string) (missed int) {
			for range leases * int(Lease/interval) {
				renewals++
				got := standing{members: map[string]string{"me#1": fmt.Sprint(renewals)}}
				for _, id := range members {
					got.members[id] = fmt.Sprint(renewals)
				}
				b.hear(&question{sent: b.now(), epoch: Epoch{Number: 1, Apart: append(listed, "me#1")}})
				b.mu.Lock()
				b.meet(epoch, got)
				if b.silentLocked() {
					missed++
				}
				b.mu.Unlock()
				time.Sleep(interval)
			}
			return missed
		}
		for _, step := range []struct {
			name            string
			members, listed []string
			missed          int
		}{
			{"all are well", []string{"a#1", "b#1"}, nil, 0},
			{"a is dead", []string{"b#1"}, nil, 1},
			{"b loses Redis", nil, []string{"b#1"}, 1},
			{"b is back, and still on the list", []string{"b#1"}, []string{"b#1"}, 0},
			{"b goes off the list", []string{"b#1"}, nil, 0},
			{"b loses Redis again", nil, []string{"b#1"}, 1},
			{"b dies while it lives by SQL", nil, nil, 1},
			{"nobody is left", nil, nil, 0},
		} {
			if missed := pass(4, step.members, step.listed); missed != step.missed {
				t.Errorf("%s: missed %d times, want %d", step.name, missed, step.missed)
			}
		}
	})
}

// TestP2_DeathsAreFollowedByAVerification has one at a time, which is repeated
// until it succeeds, and one more for those who died meanwhile.
func TestP2_DeathsAreFollowedByAVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}), make(chan error)
		b := &Redis{id: "me#1", base: time.Now(), log: slog.New(slog.DiscardHandler), signs: map[sign]time.Duration{}}
		b.OnGap(func(ctx context.Context) error {
			select {
			case begun <- struct{}{}:
				return <-end
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		epoch := &term{ctx: ctx, deaths: make(chan struct{}, 1)}
		over := make(chan struct{})
		go func() { defer close(over); b.verifyAfterDeaths(epoch) }()
		die := func(id string) {
			b.noteLocked(sign{node: id})
			time.Sleep(patience)
			b.mourn(epoch)
			b.mourn(epoch)
		}
		die("a#1")
		<-begun
		for _, id := range []string{"b#1", "c#1", "d#1"} { // meanwhile
			die(id)
		}
		end <- errors.New("SQL is lost")
		<-begun
		end <- nil
		<-begun
		end <- nil
		synctest.Wait()
		select {
		case <-begun:
			t.Error("verified once too often")
		default:
		}
		die("e#1")
		synctest.Wait()
		cancel() // while it is verified
		<-over
	})
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://localhost":                      "[localhost:6379] user= password= db=0 master= cluster=false tls=false",
		"redis://u%40x:p%2Fw@[::1]:7000/3":       "[[::1]:7000] user=u@x password=p/w db=3 master= cluster=false tls=false",
		"rediss://:secret@cache.example":         "[cache.example:6379] user= password=secret db=0 master= cluster=false tls=true",
		"redis+sentinel://a,b:26380/main":        "[a:26379 b:26380] user= password= db=0 master=main cluster=false tls=false",
		"rediss+sentinel://u:p@a:1,[::1]/m?db=2": "[a:1 [::1]:26379] user=u password=p db=2 master=m cluster=false tls=true",
		"redis+cluster://u:p@a:1,b:2":            "[a:1 b:2] user=u password=p db=0 master= cluster=true tls=false",
	} {
		o, err := parseURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		got := fmt.Sprintf("%v user=%s password=%s db=%d master=%s cluster=%v tls=%v", o.Addrs, o.Username, o.Password, o.DB, o.MasterName, o.IsClusterMode, o.TLSConfig != nil)
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", raw, got, want)
		}
	}
	o, err := parseURL("redis+sentinel://:p@a/main?sentinel_username=su&sentinel_password=s%26p")
	if err != nil || o.SentinelUsername != "su" || o.SentinelPassword != "s&p" || o.Password != "p" {
		t.Errorf("Sentinel's own login: %+v, %v", o, err)
	}
}

func TestP6_URLErrorsHoldNoSecrets(t *testing.T) {
	for _, raw := range []string{
		"hunter2", "redis:hunter2", "http://:hunter2@a", "redis+x://:hunter2@a", "redis://:hunter2@", "redis://:hunter2@a/x", "redis://:hunter2@a:b",
		"redis://:hunter2@a,b", "redis://:hunter2%zz@a", "redis://:hunter2@a?password=hunter2", "redis+sentinel://:hunter2@a", "redis://a@b:hunter2@c",
		"redis+sentinel://a/m/n?x=hunter2", "redis+sentinel://a/m?db=hunter2", "redis+cluster://:hunter2@a/1", "redis://:hunter2@a:70000", "redis://:hunter2@::1",
		"redis://hunter2:x", "redis://a b hunter2",
	} {
		_, err := Connect(raw, 1)
		if err == nil {
			t.Errorf("%s is taken", raw)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells it: %v", raw, err)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, raw := range []string{"redis://u:p@h:1/2", "rediss+sentinel://u:p@h:1,i/m?db=2", "redis+cluster://h,i:2", "redis://[::1]", "redis://%zz@"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := parseURL(raw)
		if err != nil {
			return
		}
		if len(o.Addrs) == 0 {
			t.Error("no address")
		}
		for _, addr := range o.Addrs {
			if again, err := address(addr, "1"); err != nil || again != addr {
				t.Errorf("%q is read again as %q, %v", addr, again, err)
			}
		}
	})
}
