package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// Lease is for how long a webhook is one node's, once it has begun a message. Each node
	// goes by its own clock: so it is far longer than claiming, sending and noting take at
	// most, by which another node's clock may be ahead.
	Lease = 2 * time.Minute
	// giveUpAfter is how long nothing may be taken before a webhook is stopped.
	giveUpAfter = 3 * 24 * time.Hour
	// firstPause and longestPause bound the time until it is tried again.
	firstPause   = 5 * time.Second
	longestPause = time.Hour
	// maxChanges and maxMessage are how many changes, and about how many bytes, go into
	// one message.
	maxChanges = 100
	maxMessage = 256 << 10
	// keepDeliveries is how many deliveries of a webhook are kept.
	keepDeliveries = 50
	lookTime       = 5 * time.Second // bounds one look at a tenant's webhooks
	// maxScanned bounds how many changes that nobody asks for are passed over at a time.
	maxScanned = 20
)

// Pending is a webhook for which something waits.
type Pending struct {
	ID      string
	At      time.Time // when it may be sent
	Failing bool      // the last message was not taken
}

// Pending gives the webhooks of a tenant for which something waits, and whether there
// are any webhooks that are to be sent something at all.
func (s *Service) Pending(ctx context.Context, tenant identity.TenantID) (all []Pending, some bool, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		hooks, err := loadWebhooks(ctx, tx)
		if err != nil {
			return err
		}
		s.know(tenant, hooks)
		h, err := loadHead(ctx, tx)
		if err != nil {
			return err
		}
		for _, w := range hooks {
			if !w.Enabled || w.Stopped != "" {
				continue
			}
			some = true
			if w.position != h.last {
				at := w.NextAt
				if w.holder != "" && w.heldUntil.After(at) {
					at = w.heldUntil
				}
				all = append(all, Pending{ID: w.ID, At: at, Failing: w.Failures > 0})
			}
		}
		return nil
	})
	return all, some, err
}

// Message is what is to be sent to a webhook, at least once and before all that follows.
type Message struct {
	ID       string
	Webhook  string // its name
	URL      string
	Keys     [][]byte // that it is signed with
	Body     []byte
	At       time.Time // the timestamp of it
	Changes  int
	webhook  string
	version  uint64 // of the webhook: what becomes of the message says nothing of another
	holder   string
	from, to uint64
	trial    bool
}

// message is the body. Type is "directory.changes", "directory.gap" or "webhook.test".
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Webhook string   `json:"webhook"`
	Events  []Notice `json:"events"`
	// Cursor is where the API goes on behind these events.
	Cursor string `json:"cursor"`
}

// Claim takes a webhook for a holder and gives what is to be sent to it next; nil if
// there is nothing, or another holder has it. Whoever has it must call [Service.Taken] or
// [Service.Failed] within [Lease].
func (s *Service) Claim(ctx context.Context, tenant identity.TenantID, id, holder string) (*Message, error) {
	for range maxScanned {
		var w Webhook
		var rows []row
		var gap bool
		mine := false
		err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			now := s.now()
			n, err := tx.Exec(ctx, `UPDATE webhooks SET holder = $1, held_until = $2 WHERE id = $3 AND enabled AND stopped = '' AND next_at <= $4 AND (holder = '' OR holder = $1 OR held_until <= $4)`,
				holder, store.Millis(now.Add(Lease)), id, store.Millis(now))
			if mine = n > 0; err != nil || !mine {
				return err
			}
			if w, err = loadWebhook(ctx, tx, "id", id); err != nil {
				return err
			}
			h, err := loadHead(ctx, tx)
			if err != nil {
				return err
			}
			if gap = w.position < h.floor || w.position > h.last; gap {
				w.triedTo = h.floor
				if w.position > h.last {
					w.triedTo = h.last
				}
				return nil
			}
			upTo := w.triedTo
			if upTo == 0 {
				upTo = math.MaxInt64
			}
			if rows, err = rowsAfter(ctx, tx, w.position, upTo, maxChanges, maxMessage); err != nil || slices.ContainsFunc(rows, func(c row) bool { return wanted(w.Types, c.Type) }) {
				return err
			}
			to := h.last // nothing that is asked for
			if len(rows) > 0 {
				to = rows[len(rows)-1].seq
			}
			keeper := holder
			if mine = to < h.last; !mine {
				keeper = ""
			}
			_, err = tx.Exec(ctx, `UPDATE webhooks SET position = $1, tried_to = 0, holder = $2 WHERE id = $3`, to, keeper, id)
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case gap:
			return s.gap(ctx, tenant, &w)
		case !mine:
			return nil, nil
		case slices.ContainsFunc(rows, func(c row) bool { return wanted(w.Types, c.Type) }):
			return s.message(ctx, tenant, &w, rows)
		}
	}
	return nil, nil // what is behind comes at the next look
}

// message writes what is to be sent of some changes.
func (s *Service) message(ctx context.Context, tenant identity.TenantID, w *Webhook, rows []row) (*Message, error) {
	last := rows[len(rows)-1]
	asked := slices.DeleteFunc(slices.Clone(rows), func(c row) bool { return !wanted(w.Types, c.Type) })
	events, err := s.complete(ctx, tenant, asked, maxMessage)
	if err != nil {
		return nil, err
	}
	if len(events) < len(asked) {
		last = asked[len(events)-1]
	}
	id := fmt.Sprintf("msg_%s_%d_%d", w.ID, events[0].Sequence, events[len(events)-1].Sequence)
	return s.write(ctx, tenant, w, id, "directory.changes", events, cursor{last.seq, store.Millis(last.at)})
}

// gap tells that changes are kept no longer that the webhook was not sent.
func (s *Service) gap(ctx context.Context, tenant identity.TenantID, w *Webhook) (*Message, error) {
	return s.write(ctx, tenant, w, fmt.Sprintf("msg_%s_gap_%d", w.ID, w.triedTo), "directory.gap", []Notice{}, cursor{seq: w.triedTo})
}

// Trial gives a message by which an admin sees whether a webhook works.
func (s *Service) Trial(ctx context.Context, tenant identity.TenantID, name string) (*Message, error) {
	w, err := s.Webhook(ctx, tenant, name)
	if err != nil {
		return nil, err
	}
	m, err := s.write(ctx, tenant, &w, fmt.Sprintf("msg_%s_test_%d", w.ID, s.now().UnixMilli()), "webhook.test", []Notice{}, cursor{seq: w.position})
	if err == nil {
		m.trial = true
	}
	return m, err
}

func (s *Service) write(ctx context.Context, tenant identity.TenantID, w *Webhook, id, kind string, events []Notice, next cursor) (*Message, error) {
	keys, err := s.secrets(ctx, tenant, w)
	if err != nil {
		return nil, err
	}
	now := s.now()
	body, err := json.Marshal(message{Type: kind, Timestamp: now, Data: data{Webhook: w.Name, Events: events, Cursor: next.String()}})
	if err != nil {
		return nil, err
	}
	m := &Message{ID: id, Webhook: w.Name, URL: w.URL, Body: body, At: now, Changes: len(events), webhook: w.ID, version: w.Version, holder: w.holder, from: w.position, to: next.seq}
	for _, k := range keys {
		m.Keys = append(m.Keys, k.Key)
	}
	return m, nil
}

// Attempt is what became of sending a message.
type Attempt struct {
	Status  int    // of the answer; 0: there was none
	Problem string // why there was none: a few words, without anything of the address
	Began   time.Time
	Took    time.Duration
	// RetryAfter is how long the receiver wants to be left alone.
	RetryAfter time.Duration
}

// Taken reports whether the receiver has taken the message: any status 2xx says so.
func (a Attempt) Taken() bool { return a.Status >= 200 && a.Status < 300 }

// Taken notes that a message was taken. It keeps the webhook for the holder for another
// [Lease]; an error or false means that another one may have it by now, or that it was
// changed meanwhile: then it is sent the message again, where it is now.
func (s *Service) Taken(ctx context.Context, tenant identity.TenantID, m *Message, a Attempt) (mine bool, err error) {
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if err := keepDelivery(ctx, tx, m, a); err != nil || m.trial {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE webhooks SET position = $1, tried_to = 0, failures = 0, failing_since = 0, next_at = 0, held_until = $2
			WHERE id = $3 AND holder = $4 AND position = $5 AND version = $6`, m.to, store.Millis(s.now().Add(Lease)), m.webhook, m.holder, m.from, m.version)
		mine = n > 0
		return err
	})
	return mine && err == nil, err
}

// Failed notes that a message was not taken: it is tried again after a pause that doubles
// each time. 410 stops the webhook, and so does a failure after days of them; that has its
// record before. The holder has it no longer. A webhook that was changed meanwhile is as if
// it had not been tried.
func (s *Service) Failed(ctx context.Context, tenant identity.TenantID, m *Message, a Attempt) error {
	var w Webhook
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		if err := keepDelivery(ctx, tx, m, a); err != nil || m.trial {
			return err
		}
		if w, err = loadWebhook(ctx, tx, "id", m.webhook); err != nil || w.holder != m.holder || w.position != m.from || w.Version != m.version {
			w = Webhook{}
			return err
		}
		now := s.now()
		since := w.FailingSince
		if since.IsZero() {
			since = now
		}
		w.Failures++
		w.FailingSince = since
		_, err = tx.Exec(ctx, `UPDATE webhooks SET tried_to = $1, failures = $2, failing_since = $3, next_at = $4, holder = '' WHERE id = $5`,
			m.to, w.Failures, store.Millis(since), store.Millis(now.Add(max(pause(w.Failures), min(a.RetryAfter, longestPause)))), w.ID)
		return err
	})
	switch {
	case errors.Is(err, errNoWebhook):
		return nil // it was deleted meanwhile
	case err != nil || w.ID == "":
		return err
	case a.Status == http.StatusGone:
		return s.stop(ctx, tenant, &w, StoppedGone, a)
	case s.now().Sub(w.FailingSince) >= giveUpAfter:
		return s.stop(ctx, tenant, &w, StoppedFailing, a)
	}
	return nil
}

// pause is how long is waited after so many failures in a row: spread, so that not all
// are tried at once.
func pause(failures int) time.Duration {
	d := min(longestPause, firstPause<<min(failures-1, 16))
	return d - d/5 + time.Duration(rand.Int64N(int64(d)*2/5)) // #nosec G404 -- nobody gains by guessing it
}

func (s *Service) stop(ctx context.Context, tenant identity.TenantID, w *Webhook, why string, a Attempt) error {
	e := w.event(audit.SystemCause(), tenant, audit.WebhookDisabled)
	e.Reason = why
	e.Details["failures"], e.Details["status"] = strconv.Itoa(w.Failures), strconv.Itoa(a.Status)
	return s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE webhooks SET stopped = $1 WHERE id = $2 AND version = $3`, why, w.ID, w.Version)
		return err
	})
}

// Release gives a webhook up that [Service.Claim] has given to the holder.
func (s *Service) Release(ctx context.Context, tenant identity.TenantID, id, holder string) error {
	return s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE webhooks SET holder = '' WHERE id = $1 AND holder = $2`, id, holder)
		return err
	})
}

// Delivery is one message that was sent to a webhook, or was to be.
type Delivery struct {
	MessageID string
	Changes   int
	Attempt
}

func keepDelivery(ctx context.Context, tx *store.Tx, m *Message, a Attempt) error {
	number, err := store.One(ctx, tx, store.Scalar[int64], `SELECT coalesce(max(number), 0) + 1 FROM webhook_deliveries WHERE webhook_id = $1`, m.webhook)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO webhook_deliveries (webhook_id, number, message_id, changes, status, problem, began_at, took_ms)
		SELECT id, $2, $3, $4, $5, $6, $7, $8 FROM webhooks WHERE id = $1`, m.webhook, number, m.ID, m.Changes, a.Status, a.Problem, store.Millis(a.Began), a.Took.Milliseconds()); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND number <= $2`, m.webhook, number-keepDeliveries)
	return err
}

// Deliveries gives the last ones of a webhook, the newest first.
func (s *Service) Deliveries(ctx context.Context, tenant identity.TenantID, name string) (all []Delivery, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		w, err := loadWebhook(ctx, tx, "name", name)
		if err != nil {
			return err
		}
		all, err = store.All(ctx, tx, func(r store.Row) (d Delivery, err error) {
			var began, took int64
			err = r.Scan(&d.MessageID, &d.Changes, &d.Status, &d.Problem, &began, &took)
			d.Began, d.Took = store.Time(began), time.Duration(took)*time.Millisecond
			return d, err
		}, `SELECT message_id, changes, status, problem, began_at, took_ms FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY number DESC LIMIT $2`, w.ID, keepDeliveries)
		return err
	})
	return all, err
}

// Stopped is a webhook that is sent nothing any more, by ourselves.
type Stopped struct {
	Tenant identity.TenantID
	Why    string // a sentence
}

// know takes down which webhooks are stopped.
func (s *Service) know(tenant identity.TenantID, hooks []Webhook) {
	var names []string
	for _, w := range hooks {
		if w.Enabled && w.Stopped != "" {
			names = append(names, w.Name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stopped, tenant)
	if len(names) > 0 {
		s.stopped[tenant] = "Nothing is sent to " + strings.Join(names, ", ") + " any more."
	}
}

// Stopped gives the tenants that have webhooks which are stopped, as far as this node
// knows. It waits for nothing.
func (s *Service) Stopped() (all []Stopped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant, why := range s.stopped {
		all = append(all, Stopped{tenant, why})
	}
	slices.SortFunc(all, func(a, b Stopped) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all
}

// look takes down what has become of a tenant's webhooks, and tells who sends to them.
func (s *Service) look(ctx context.Context, tenant identity.TenantID) {
	s.lookAt(ctx, tenant)
	s.wake(tenant, true)
}

func (s *Service) lookAt(ctx context.Context, tenant identity.TenantID) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if _, _, err := s.Pending(ctx, tenant); err != nil {
		s.log.WarnContext(ctx, "it is not known what a tenant's webhooks wait for", "tenant", tenant, "error", err)
	}
}

// Forget drops what is known of a tenant that was deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stopped, tenant)
	delete(s.grown, tenant)
	s.wakeLocked(tenant)
}
