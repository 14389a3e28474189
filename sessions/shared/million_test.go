package shared_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
)

// tokenOf is the token of a session of a [world.crowd].
func tokenOf(i int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// perPerson is how many sessions, each on a device of its own, people of a crowd
// have.
const perPerson = 4

// crowd writes n sessions into SQL, as they would be after as many sign-ins.
func (w *world) crowd(from, n int) {
	w.t.Helper()
	const batch = 1000
	for first := from; first < from+n; first += batch {
		last := min(first+batch, from+n)
		var err error
		for range 3 { // a machine that stands still for long is cut off by the server
			err = w.db.Tenant(acme).Write(context.Background(), func(tx *store.Tx) error {
				return seed(tx, first, last)
			})
			if !fault.Is(err, fault.Unavailable) {
				break
			}
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func seed(tx *store.Tx, first, last int) error {
	var users, devices, all []string
	var hashes []any
	now := time.Now().UnixMilli()
	for i := first; i < last; i++ {
		if i%perPerson == 0 {
			users = append(users, fmt.Sprintf(`('usr_%022d', 'u%d', 'u%[2]d', '', '', '', '', TRUE, 'admin', '{}', 1, 0, 0)`, i/perPerson, i))
		}
		hash := sha256.Sum256([]byte(tokenOf(i)))
		hashes = append(hashes, hash[:])
		place := "$" + strconv.Itoa(len(hashes))
		devices = append(devices, fmt.Sprintf(`('dev_%022d', %s, 'usr_%022d', 'Chrome on Windows', 'desktop', 'Windows', 'Chrome', FALSE, 0, 0, '192.0.2.7')`, i, place, i/perPerson))
		all = append(all, fmt.Sprintf(`('ses_%022d', %s, 'usr_%022d', 'dev_%022d', 'con_oidc', '00u%017d', 'sid%017d', NULL, 'pwd otp', '2', '192.0.2.7',
			'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
			%[6]d, %[6]d, %[6]d, %[7]d)`, i, place, i/perPerson, i, i/perPerson, now-int64(i%1000), now+int64(time.Hour/time.Millisecond)))
	}
	ctx := context.Background()
	if len(users) > 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
			VALUES `+strings.Join(users, ", ")); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO devices (id, token_hash, user_id, name, kind, os, browser, blocked, first_seen, last_seen, last_ip)
		VALUES `+strings.Join(devices, ", "), hashes...); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO sessions (id, token_hash, user_id, device_id, connection_id, idp_subject, idp_session, logout_hint, amr, acr, ip,
		user_agent, auth_at, created_at, seen_at, expires_at) VALUES `+strings.Join(all, ", "), hashes...)
	return err
}

// crowdOn writes n sessions into PostgreSQL from within, as a restored dump would
// come: the indexes last.
func crowdOn(tb testing.TB, admin string, n int) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	const token = `rtrim(translate(encode(sha256(convert_to(i::text, 'UTF8')), 'base64'), '+/', '-_'), '=')`
	run := func(query string, args ...any) {
		if _, err := conn.Exec(ctx, query, args...); err != nil {
			tb.Fatalf("%s: %v", query, err)
		}
	}
	for _, query := range []string{
		`ALTER SYSTEM SET max_wal_size = '4GB'`, `SELECT pg_reload_conf()`, `SET synchronous_commit = off`,
		`SET session_replication_role = replica`, `SET maintenance_work_mem = '256MB'`, // the first: no check of foreign keys
	} {
		run(query)
	}
	rows, err := conn.Query(ctx, `SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
		WHERE i.indrelid IN ('gatehouse.users'::regclass, 'gatehouse.devices'::regclass, 'gatehouse.sessions'::regclass) AND NOT i.indisunique`)
	if err != nil {
		tb.Fatal(err)
	}
	type index struct{ Name, Definition string }
	indexes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		tb.Fatal(err)
	}
	for _, index := range indexes {
		run(`DROP INDEX ` + index.Name)
	}
	for _, query := range []string{
		`INSERT INTO gatehouse.connections (id, name, type, spec, enabled, version, created_at, updated_at, tenant_id)
			SELECT 'con_other', 'other', 'oidc', '{}', TRUE, 1, 0, 0, $1 WHERE $2 > 0 AND $3 > 0`,
		`INSERT INTO gatehouse.users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at, tenant_id)
			SELECT 'usr_' || lpad(i::text, 22, '0'), 'u' || i, 'u' || i, '', '', '', '', TRUE, 'admin', '{}', 1, 0, 0, $1 FROM generate_series(0, ($2 - 1) / $3) i`,
		`INSERT INTO gatehouse.devices (id, token_hash, user_id, name, kind, os, browser, blocked, first_seen, last_seen, last_ip, tenant_id)
			SELECT 'dev_' || lpad(i::text, 22, '0'), sha256(convert_to('dev' || i, 'UTF8')), 'usr_' || lpad((i / $3)::text, 22, '0'), 'Chrome on Windows', 'desktop', 'Windows', 'Chrome', FALSE, 0, 0, '192.0.2.7', $1
			FROM generate_series(0, $2 - 1) i`,
		`INSERT INTO gatehouse.sessions (id, token_hash, user_id, device_id, connection_id, idp_subject, idp_session, amr, acr, ip, user_agent, auth_at, created_at, seen_at, expires_at, tenant_id)
			SELECT 'ses_' || lpad(i::text, 22, '0'), sha256(convert_to(` + token + `, 'UTF8')), 'usr_' || lpad((i / $3)::text, 22, '0'), 'dev_' || lpad(i::text, 22, '0'), CASE WHEN i < 100000 THEN 'con_oidc' ELSE 'con_other' END,
				'00u' || lpad((i / $3)::text, 17, '0'), 'sid' || lpad(i::text, 17, '0'), 'pwd otp', '2', '192.0.2.7',
				'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36', t, t - i % 1000, t, t + 3600000, $1
			FROM generate_series(0, $2 - 1) i, (SELECT (extract(epoch FROM now()) * 1000)::bigint t) now`,
	} {
		run(query, string(acme), n, perPerson)
	}
	for _, index := range indexes {
		run(index.Definition)
	}
	for _, table := range []string{"users", "devices", "sessions"} {
		run(`VACUUM ANALYZE gatehouse.` + table)
	}
	run(`CHECKPOINT`)
}

// sizes are how many sessions there are; GATEHOUSE_SESSIONS names other ones.
func sizes(b *testing.B) (all []int) {
	b.Helper()
	for _, text := range strings.Fields(cmp.Or(os.Getenv("GATEHOUSE_SESSIONS"), "1000 10000 100000 1000000")) {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// BenchmarkMillion shows what many sessions of one tenant cost, over PostgreSQL and
// Redis. Run it with -benchtime 1x: each number is that of one time.
func BenchmarkMillion(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) { million(b, n) })
	}
}

func million(b *testing.B, n int) {
	d := postgrestest.Shared(b).Borrow(b)
	w := newWorldAt(b, d.Application)
	crowdOn(b, d.Admin, n)

	first, began := w.node("n1"), time.Now()
	clustertest.Start(b, first.bus)
	took := func(what string) {
		b.ReportMetric(time.Since(began).Seconds(), what)
		began = time.Now()
	}
	defer func() { _ = first.Close() }()
	last := tokenOf(n - 1)
	clustertest.Until(b, "fresh", first.bus.Fresh)
	began = time.Now()
	clustertest.Until(b, "the first request is served", func() bool { return first.serves(last) })
	took("s/first-request")

	// Meanwhile the node serves people whom it does not know yet.
	var worst, asked, failed atomic.Int64
	stop, group, pace := make(chan struct{}), sync.WaitGroup{}, time.NewTicker(5*time.Millisecond)
	defer pace.Stop()
	group.Go(func() {
		for i := 0; ; i = (i + 7919) % n {
			select {
			case <-stop:
				return
			case <-pace.C:
			}
			sent := time.Now()
			if _, err := first.Find(context.Background(), acme, tokenOf(i)); err != nil {
				failed.Add(1)
			}
			worst.Store(max(worst.Load(), int64(time.Since(sent))))
			asked.Add(1)
		}
	})
	for first.copies().Whole == 0 {
		time.Sleep(time.Millisecond)
	}
	took("s/refill")
	close(stop)
	group.Wait()
	b.ReportMetric(time.Duration(worst.Load()).Seconds()*1000, "ms/worst-meanwhile")
	b.ReportMetric(float64(asked.Load()), "served-meanwhile")
	b.ReportMetric(float64(failed.Load()), "failed-meanwhile")
	if size, ok := w.server.Do("MEMORY", "USAGE", "test:{ten_acme}:sessions", "SAMPLES", "0").(int64); ok {
		b.ReportMetric(float64(size)/float64(n), "redis-bytes/session")
	}

	// Another node starts, and everybody comes at once.
	second := w.node("n2")
	clustertest.Start(b, second.bus)
	defer func() { _ = second.Close() }()
	clustertest.Until(b, "fresh", second.bus.Fresh)
	crowd := min(n, 100_000)
	var refused atomic.Int64
	began = time.Now()
	var storm sync.WaitGroup
	for i := range crowd {
		storm.Go(func() {
			if _, err := second.Find(context.Background(), acme, tokenOf(i)); err != nil {
				refused.Add(1)
			}
		})
	}
	storm.Wait()
	took("s/storm")
	b.ReportMetric(float64(refused.Load()), "refused-in-storm")

	ends := func(what string, sel sessions.Selector, want int) {
		began = time.Now()
		done, err := second.Revoke(context.Background(), audit.SystemCause(), acme, sel, "admin")
		if err != nil || done.Sessions != want {
			b.Errorf("%s: %d sessions of %d: %v", what, done.Sessions, want, err)
		}
		took(what)
	}
	ends("s/end-1", sessions.Selector{Session: sessionOf(1)}, 1)
	ends("s/end-person", sessions.Selector{User: "usr_0000000000000000000001"}, perPerson)
	var open []*stream
	for i := 8; i < min(crowd, 10_008); i++ {
		if s := second.open(tokenOf(i)); s != nil {
			open = append(open, s)
		}
	}
	ends("s/end-many", sessions.Selector{Connection: "con_oidc"}, crowd-perPerson-1)
	b.ReportMetric(float64(crowd-perPerson-1), "ended")
	b.ReportMetric(float64(len(open)), "streams-closed")
	for _, s := range open {
		if !s.closed() {
			b.Error("a stream is open after the return")
			break
		}
	}
}

// BenchmarkOneNode starts a gateway of one node, which holds all sessions, over
// SQLite.
func BenchmarkOneNode(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			w := newWorldAt(b, "sqlite://"+b.TempDir())
			w.crowd(0, n)
			s := sessions.New(sessions.Config{Store: w.db, Keys: testKeys{}, Journal: journal{}, Node: "n1",
				Limits: func(identity.TenantID) sessions.Limits { return sessions.Limits{} }})
			defer func() { _ = s.Close() }()
			began := time.Now()
			for { // who comes before it is loaded is told to come again
				if _, err := s.Find(context.Background(), acme, tokenOf(n-1)); err == nil {
					break
				}
			}
			b.ReportMetric(time.Since(began).Seconds(), "s/start")
		})
	}
}
