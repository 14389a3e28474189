package redistest_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/internal/cluster/redistest"
)

func client(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func answers(c *redis.Client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	return c.Ping(ctx).Err() == nil
}

func TestAServerFailsAsItIsTold(t *testing.T) {
	s := redistest.Start(t)
	c := client(t, s.Addr())
	s.Do("SET", "key", "saved")
	s.Do("SAVE")
	s.Do("SET", "key", "later")
	s.Pause()
	if answers(c) {
		t.Error("paused, it answers")
	}
	s.Continue()
	if got := s.Do("GET", "key"); got != "later" {
		t.Errorf("after a pause it says %v", got)
	}
	s.Kill()
	if answers(c) {
		t.Error("killed, it answers")
	}
	s.Restart()
	if got := s.Do("GET", "key"); got != "saved" {
		t.Errorf("restarted, it says %v", got)
	}
	s.Kill()
	s.Empty()
	s.Restart()
	if got := s.Do("EXISTS", "key"); got != int64(0) {
		t.Errorf("restarted empty, it says %v", got)
	}
}

func TestAProxyIsCutAndMended(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Through(t, s.Addr())
	c := client(t, p.Addr())
	if !answers(c) {
		t.Fatal("it does not answer")
	}
	p.Cut()
	if answers(c) {
		t.Error("cut, it answers")
	}
	p.Mend()
	if !answers(c) {
		t.Error("mended, it does not answer")
	}
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	p.Reset()
	if _, err := conn.Read(make([]byte, 16)); err == nil {
		t.Error("reset, a connection is still open")
	}
}
