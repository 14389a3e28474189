package audit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Filter says which events are looked for; zero fields do not matter.
type Filter struct {
	From, To time.Time // From inclusive, To exclusive
	Types    []Type    // any of them, at most 32
	Outcome  Outcome
	Actor    string // id or name
	Target   string // id
	Session  string
	Request  string
	IP       string
	Text     string // anywhere in the event, whatever the case
	Limit    int    // 1 to 500; default 50
	Cursor   string // [Page].Next of the page before
}

// Page is a part of what was looked for, newest first. Next is empty when there
// is no more; a page may be short or even empty and have a Next, when much was
// read and little of it matched.
type Page struct {
	Items []Event
	Next  string
}

const (
	defaultLimit = 50
	maxLimit     = 500
	maxTypes     = 32
	maxTerm      = 256 // bytes of a search term
)

func (f *Filter) check() error {
	if f.Limit == 0 {
		f.Limit = defaultLimit
	}
	for _, term := range []string{string(f.Outcome), f.Actor, f.Target, f.Session, f.Request, f.IP, f.Text, f.Cursor} {
		if len(term) > maxTerm {
			return fault.New(fault.Invalid, "filter-too-long", fmt.Sprintf("A search term can have at most %d bytes.", maxTerm))
		}
	}
	if f.Limit < 1 || f.Limit > maxLimit {
		return fault.New(fault.Invalid, "limit-out-of-range", fmt.Sprintf("A page can have 1 to %d events.", maxLimit))
	}
	if len(f.Types) > maxTypes {
		return fault.New(fault.Invalid, "too-many-types", fmt.Sprintf("A search can name at most %d types.", maxTypes))
	}
	return nil
}

var errCursor = fault.New(fault.Invalid, "cursor-invalid", "The cursor is not one of this list's; start at the first page.")

// Search finds events other than allowed accesses, newest first, of all nodes.
// An error is a fault: Invalid for a filter that makes no sense.
func (x *Index) Search(ctx context.Context, tenant identity.TenantID, f Filter) (Page, error) {
	if err := f.check(); err != nil {
		return Page{}, err
	}
	query, args, err := searchQuery(f)
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		page.Items, err = store.All(ctx, tx, scanEvent, query, args...)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("audit: searching the index: %w", err)
	}
	if len(page.Items) > f.Limit {
		page.Items = page.Items[:f.Limit]
		last := page.Items[f.Limit-1]
		page.Next = encodeCursor(strconv.FormatInt(store.Millis(last.Time), 10) + "." + string(last.ID))
	}
	return page, nil
}

// searchQuery asks for one row more than the page has, which tells whether
// there is a next page.
func searchQuery(f Filter) (query string, args []any, err error) {
	var where []string
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	equal := func(column, value string) {
		if value != "" {
			where = append(where, column+" = "+arg(value))
		}
	}
	if f.Cursor != "" {
		milli, id, ok := strings.Cut(decodeCursor(f.Cursor), ".")
		at, err := strconv.ParseInt(milli, 10, 64)
		if !ok || err != nil {
			return "", nil, errCursor
		}
		a := arg(at)
		b := arg(at)
		where = append(where, "(at < "+a+" OR at = "+b+" AND id < "+arg(id)+")")
	}
	if !f.From.IsZero() {
		where = append(where, "at >= "+arg(store.Millis(f.From)))
	}
	if !f.To.IsZero() {
		where = append(where, "at < "+arg(store.Millis(f.To)))
	}
	if len(f.Types) > 0 {
		names := make([]string, len(f.Types))
		for i, t := range f.Types {
			names[i] = arg(string(t))
		}
		where = append(where, "type IN ("+strings.Join(names, ", ")+")")
	}
	equal("outcome", string(f.Outcome))
	if f.Actor != "" {
		id := arg(f.Actor)
		where = append(where, "(actor_id = "+id+" OR lower(actor_name) = "+arg(lower(f.Actor))+")")
	}
	equal("target_id", f.Target)
	equal("session_id", f.Session)
	equal("request_id", f.Request)
	equal("ip", f.IP)
	if f.Text != "" {
		// The body is JSON: look for the text as it stands there.
		text := string(appendEscaped(nil, f.Text, 6*maxTerm))
		text = strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`).Replace(text)
		where = append(where, "lower(body) LIKE "+arg("%"+lower(text)+"%")+" ESCAPE '!'")
	}
	query = "SELECT body FROM events"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return query + " ORDER BY at DESC, id DESC LIMIT " + arg(f.Limit+1), args, nil
}

// lower does what the function of that name does to a column.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func scanEvent(row store.Row) (Event, error) {
	var body string
	var e Event
	if err := row.Scan(&body); err != nil {
		return e, err
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return e, fmt.Errorf("audit: an event in the index does not parse: %w", err)
	}
	return e, nil
}

// ByID finds one event, an allowed access as well; the fault is NotFound if the
// tenant has none of that id.
func (x *Index) ByID(ctx context.Context, tenant identity.TenantID, id identity.EventID) (Event, error) {
	var found Event
	err := x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found, err = store.One(ctx, tx, scanEvent, `SELECT body FROM events WHERE id = $1`, string(id))
		return err
	})
	if err == nil {
		return found, nil
	}
	if !errors.Is(err, store.ErrNoRows) {
		x.j.o.Log.WarnContext(ctx, "looking an event up in the journal, because the index does not answer", "tenant", tenant, "error", err)
	}
	return x.j.files.find(ctx, tenant, id)
}

func encodeCursor(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// decodeCursor returns "" for what is no cursor.
func decodeCursor(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
