package recorder

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const columns = `id, at, took, node, token_id, token_name, method, path, kind, resource_id, name, status, scim_type, failed, changed, lost`

func scan(row store.Row) (r Request, err error) {
	var at, took int64
	err = row.Scan(&r.ID, &at, &took, &r.Node, &r.Token, &r.TokenName, &r.Method, &r.Path, &r.Kind, &r.Resource, &r.Name, &r.Status, &r.ScimType, &r.Failed, &r.Changed, &r.Lost)
	r.Time, r.Took = store.Time(at), time.Duration(took)
	return r, err
}

// purpose binds what is sealed to the one request that it is of.
func purpose(id identity.RequestID) string { return "scim/recorder/" + string(id) }

// row is a request as it is written.
type row struct {
	*Request
	about, ids string
	sealed     []byte
}

// bytes is about what it takes.
func (r *row) bytes() int { return len(r.sealed) + len(r.about) + len(r.ids) + overhead }

// overhead is about what a row takes beside that.
const overhead = 512

// write keeps requests, in transactions of bounded size. One that is there already
// stays: an earlier try may have come true although nobody heard of it. It gives how many
// it has kept, of the first, and how many bytes they take.
func (s *Service) write(ctx context.Context, tenant identity.TenantID, p *packer, requests []Request) (kept int, size int64, err error) {
	for kept < len(requests) && err == nil {
		var n, bytes int
		if n, bytes, err = s.writeSome(ctx, tenant, p, requests[kept:]); err == nil {
			kept, size = kept+n, size+int64(bytes)
		}
	}
	return kept, size, err
}

// writeSome keeps the first of some requests, as many as one transaction has room for.
func (s *Service) writeSome(ctx context.Context, tenant identity.TenantID, p *packer, requests []Request) (kept, bytes int, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	var rows []row
	for i := range requests {
		r, err := s.row(ctx, tenant, p, &requests[i])
		if err != nil {
			return 0, 0, err
		}
		rows = append(rows, r)
		if bytes += r.bytes(); bytes >= writeAtBytes {
			break
		}
	}
	return len(rows), bytes, s.insert(ctx, tenant, rows)
}

func (s *Service) insert(ctx context.Context, tenant identity.TenantID, rows []row) error {
	return s.Store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		for _, r := range rows {
			n, err := tx.Exec(ctx, `INSERT INTO scim_requests (`+columns+`, about, bytes, sealed)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) ON CONFLICT (id) DO NOTHING`,
				r.ID, store.Millis(r.Time), int64(r.Took), r.Node, r.Token, short(r.TokenName, maxName), short(r.Method, 16), short(r.Path, maxPath), r.Kind, short(r.Resource, 128),
				short(r.Name, maxName), r.Status, r.ScimType, r.Failed, r.Changed, r.Lost, r.about, r.bytes(), r.sealed)
			if err == nil && n > 0 && r.ids != "" {
				_, err = tx.Exec(ctx, `INSERT INTO scim_request_ids (request_id, ids) VALUES ($1, $2)`, r.ID, r.ids)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// short is a text of at most so many bytes that any database can hold.
func short(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}

// packer packs one after the other. The zero value is ready.
type packer struct {
	*flate.Writer
	packed bytes.Buffer
}

// pack gives what is good until the next call.
func (p *packer) pack(plain []byte, sent string) (_ []byte, err error) {
	if p.packed.Reset(); p.Writer == nil {
		p.Writer, err = flate.NewWriter(&p.packed, flate.BestSpeed)
	} else {
		p.Reset(&p.packed)
	}
	if err == nil {
		_, err = p.Write(plain)
	}
	if err == nil {
		_, err = io.WriteString(p, sent)
	}
	if err == nil {
		err = p.Close()
	}
	return p.packed.Bytes(), err
}

// row packs and encrypts the details of a request, and finds who is named in them. What is
// more than there is room for loses its longest parts. What was sent stands as it is behind
// the rest.
func (s *Service) row(ctx context.Context, tenant identity.TenantID, p *packer, r *Request) (row, error) {
	d := r.Details
	sent := d.Sent.Text
	d.Sent.Text = ""
	plain, err := json.Marshal(d)
	if err == nil && len(plain) > MaxDetails {
		d.bound()
		plain, err = json.Marshal(d)
	}
	if err != nil {
		return row{}, fmt.Errorf("recorder: %w", err)
	}
	about := strings.Join(r.About, "\n")
	kept := row{Request: r, about: strings.ToLower(short(about, maxAbout)), ids: ids(r.Resource, r.Path, r.Name, about, string(plain), sent)}
	packed, err := p.pack(append(plain, '\n'), sent)
	if err == nil {
		kept.sealed, err = s.Keys.Seal(ctx, tenant, purpose(r.ID), packed)
	}
	return kept, err
}

// ids gives the ids of people and groups that stand in texts, in small letters, each once
// and in a line of its own.
func ids(texts ...string) string {
	seen := make(map[string]bool)
	var all []string
	for _, text := range texts {
		for at := 0; ; {
			next := strings.IndexByte(text[at:], '_')
			if next < 0 {
				break
			}
			at += next + 1
			if !isID(text[max(at-len(identity.UserPrefix), 0):at]) {
				continue
			}
			end := at
			for end < len(text) && isLetter(text[end]) {
				end++
			}
			if end-at != idLetters {
				at = end
				continue
			}
			if id := strings.ToLower(text[at-len(identity.UserPrefix) : end]); !seen[id] {
				seen[id], all = true, append(all, id)
			}
			at = end
		}
	}
	return strings.Join(all, "\n")
}

// isID reports whether a text begins like an id of a person or a group, in whatever
// letters: both prefixes have the same length.
func isID(text string) bool {
	n := len(identity.UserPrefix)
	return len(text) >= n && (strings.EqualFold(text[:n], identity.UserPrefix) || strings.EqualFold(text[:n], identity.GroupPrefix))
}

// idLetters is how many an id has behind its prefix.
var idLetters = len(identity.NewUserID()) - len(identity.UserPrefix)

// isLetter is for those that ids consist of.
func isLetter(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// bound leaves of the changes as many as there is room for, beside what is bounded by
// itself.
func (d *Details) bound() {
	const room = MaxDetails / 2
	size := 0
	for i, c := range d.Changes {
		one, err := json.Marshal(c)
		if size += len(one); err != nil || size > room {
			d.Changes = d.Changes[:i:i]
			break
		}
	}
	size = 0
	for i, line := range d.Understood {
		if size += len(line); size > room/2 {
			d.Understood = append(d.Understood[:i:i], fmt.Sprintf("… and %d lines more", len(d.Understood)-i))
			break
		}
	}
}

func (s *Service) open(ctx context.Context, tenant identity.TenantID, r *Request, sealed []byte) error {
	packed, err := s.Keys.Open(ctx, tenant, purpose(r.ID), sealed)
	if err != nil {
		return err
	}
	// Without its secrets, what was sent can be longer than it was.
	plain := io.LimitReader(flate.NewReader(bytes.NewReader(packed)), 4*(MaxDetails+MaxSent))
	d := json.NewDecoder(plain)
	if err = d.Decode(&r.Details); err == nil {
		var sent []byte
		sent, err = io.ReadAll(io.MultiReader(d.Buffered(), plain))
		if sent = bytes.TrimPrefix(sent, []byte("\n")); len(sent) > 0 { // earlier rows have it among the rest
			r.Sent.Text = string(sent)
		}
	}
	if err != nil {
		return fmt.Errorf("recorder: open %s: %w", r.ID, err)
	}
	return nil
}

// Get reads one request whole. One that is not there, or is no request ([Request.Lost]),
// is a NotFound fault.
func (s *Service) Get(ctx context.Context, tenant identity.TenantID, id identity.RequestID) (r Request, err error) {
	var sealed []byte
	err = s.Store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		if r, err = store.One(ctx, tx, scan, `SELECT `+columns+` FROM scim_requests WHERE id = $1 AND lost = 0`, id); err != nil {
			return err
		}
		sealed, err = store.One(ctx, tx, store.Scalar[[]byte], `SELECT sealed FROM scim_requests WHERE id = $1`, id)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return r, fault.Wrap(err, fault.NotFound, "request-unknown", "There is no such request, or not any more: they are kept for 30 days.")
	}
	if err == nil {
		err = s.open(ctx, tenant, &r, sealed)
	}
	return r, err
}

// Erase removes the requests in which somebody is named by their id, whoever else is and
// however large they are.
func Erase(ctx context.Context, tx *store.Tx, id identity.UserID) error {
	// In about and ids, ids stand in small letters, each in a line of its own. Of requests
	// that were written before there were ids, about has the first.
	_, err := tx.Exec(ctx, `DELETE FROM scim_requests WHERE resource_id = $1 OR replace(about, $2, '') <> about
		OR id IN (SELECT request_id FROM scim_request_ids WHERE replace(ids, $2, '') <> ids)`, id, strings.ToLower(string(id)))
	return err
}

// pruneBatch is how many rows one transaction removes.
const pruneBatch = 1000

// Prune removes what is too old, or more than there is room for, of every tenant. What
// cannot be reached is looked at again the next time.
func (s *Service) Prune(ctx context.Context) {
	for _, tenant := range s.Tenants() {
		if ctx.Err() != nil {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, writeTime)
		s.prune(bounded, tenant)
		cancel()
	}
}

func (s *Service) prune(ctx context.Context, tenant identity.TenantID) {
	s.mu.Lock()
	delete(s.written, tenant)
	s.mu.Unlock()
	oldest := time.Now().Add(-Kept)
	err := s.pruneTo(ctx, tenant, ofStrangers, oldest, maxStrangers, maxBytes)
	if err == nil {
		err = s.pruneTo(ctx, tenant, ofClients, oldest, maxRequests, maxBytes)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "old requests of provisioning clients are still kept", "tenant", tenant, "error", err)
	}
}

// part is a condition for those rows that have bounds of their own.
type part string

const (
	ofStrangers part = `token_id = ''`
	ofClients   part = `token_id <> ''`
)

// pruneTo removes of a part what came before a time, and then the oldest, until there are
// so many of so many bytes together.
func (s *Service) pruneTo(ctx context.Context, tenant identity.TenantID, of part, from time.Time, requests, size int64) error {
	oldest := store.Millis(from)
	err := s.Store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		all, err := store.One(ctx, tx, func(row store.Row) (n [2]int64, err error) { return n, row.Scan(&n[0], &n[1]) },
			`SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM scim_requests WHERE at >= $1 AND `+string(of), oldest)
		if err != nil || all[0] <= requests && all[1] <= size {
			return err
		}
		at, err := store.One(ctx, tx, store.Scalar[int64], `SELECT at FROM (
				SELECT at, row_number() OVER newest AS n, sum(bytes) OVER newest AS b FROM scim_requests WHERE at >= $1 AND `+string(of)+`
				WINDOW newest AS (ORDER BY at DESC, id DESC ROWS UNBOUNDED PRECEDING)
			) AS counted WHERE n > $2 OR b > $3 ORDER BY at DESC LIMIT 1`, oldest, requests, size)
		oldest = at + 1 // and those of the same moment
		return err
	})
	if err != nil {
		return err
	}
	for n := int64(pruneBatch); n == pruneBatch; {
		err := s.Store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(ctx, `DELETE FROM scim_requests WHERE id IN (SELECT id FROM scim_requests WHERE at < $1 AND `+string(of)+` ORDER BY at LIMIT $2)`, oldest, pruneBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
