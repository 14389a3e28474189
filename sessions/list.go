package sessions

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// MaxPage is the most items of one page.
	MaxPage     = 200
	defaultPage = 50
)

// The states of a session to filter by.
const (
	StateLive  = "live"
	StateEnded = "ended"
)

// Filter narrows [Service.List]; zero fields do not.
type Filter struct {
	User   identity.UserID
	Device identity.DeviceID
	IP     string // at sign-in
	State  string // [StateLive], [StateEnded], or empty: all
	Limit  int    // at most [MaxPage]; 0: 50
	Cursor string // from the page before
}

var (
	errNoSession = fault.New(fault.NotFound, "session-not-found", "There is no such session.")
	errCursor    = fault.New(fault.Invalid, "cursor-invalid", "This cursor did not come from a page before.")
	errState     = fault.New(fault.Invalid, "state-invalid", "A session's state is live or ended.")
	errAddress   = fault.New(fault.Invalid, "ip-invalid", "This is not an IP address.")
)

// List gives sessions, the latest sign-in first; next is empty on the last
// page.
func (s *Service) List(ctx context.Context, tenant identity.TenantID, f Filter) (items []Session, next string, err error) {
	// Loading ends whatever must not be shown as live.
	if err := s.ready(ctx, tenant); err != nil {
		return nil, "", err
	}
	w, err := newWindow(f.Limit, f.Cursor)
	if err != nil {
		return nil, "", err
	}
	if f.IP != "" {
		ip, err := netip.ParseAddr(f.IP)
		if err != nil {
			return nil, "", errAddress
		}
		w.where("s.ip = ", addrText(ip))
	}
	w.where("s.user_id = ", string(f.User))
	w.where("s.device_id = ", string(f.Device))
	switch f.State {
	case "":
	case StateLive:
		// All the same where they live, but so the order is that of an index.
		w.order = "s.ended_at DESC, "
		w.conditions = append(w.conditions, "s.ended_at IS NULL")
	case StateEnded:
		w.conditions = append(w.conditions, "s.ended_at IS NOT NULL")
	default:
		return nil, "", errState
	}
	query := `SELECT ` + sessionColumns + ` FROM sessions s` + w.clause("s.created_at", "s.id")
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		items, err = store.All(ctx, tx, func(row store.Row) (Session, error) { return scanSession(tenant, row) }, query, w.args...)
		return err
	})
	if err != nil {
		return nil, "", unavailable(err)
	}
	items, next = page(items, w.limit, func(x Session) mark { return mark{at: store.Millis(x.CreatedAt), id: string(x.ID)} })
	s.freshen(tenant, items)
	return items, next, nil
}

// Get gives one session, ended or not.
func (s *Service) Get(ctx context.Context, tenant identity.TenantID, id identity.SessionID) (Session, error) {
	if err := s.ready(ctx, tenant); err != nil {
		return Session{}, err
	}
	var found Session
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found, err = store.One(ctx, tx, func(row store.Row) (Session, error) { return scanSession(tenant, row) },
			`SELECT `+sessionColumns+` FROM sessions s WHERE s.id = $1`, id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Session{}, errNoSession
	case err != nil:
		return Session{}, unavailable(err)
	}
	items := []Session{found}
	s.freshen(tenant, items)
	return items[0], nil
}

// freshen puts what only the registry knows, the last request, and the end by
// the limits of today into sessions read from SQL.
func (s *Service) freshen(tenant identity.TenantID, items []Session) {
	live := map[identity.SessionID]*Session{}
	absolute := s.limits(tenant).Absolute
	for i := range items {
		if items[i].EndedAt.IsZero() {
			items[i].ExpiresAt = sooner(until(items[i].CreatedAt, absolute), items[i].Until)
			live[items[i].ID] = &items[i]
		}
	}
	if len(live) == 0 {
		return
	}
	for l := range s.registry.Active(tenant) { // SQL knows the others' last request
		if item := live[l.session.ID]; item != nil {
			item.SeenAt = l.Session().SeenAt
		}
	}
}

// mark is the place in a list after which the next page begins.
type mark struct {
	at int64
	id string
}

func (m mark) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(m.at, 10) + " " + m.id))
}

func parseCursor(cursor string) (mark, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor[:min(len(cursor), 200)])
	if err != nil {
		return mark{}, errCursor
	}
	at, id, ok := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || id == "" {
		return mark{}, errCursor
	}
	return mark{at: n, id: id}, nil
}

// window is the conditions and bounds of one page's query.
type window struct {
	limit      int
	after      *mark
	conditions []string
	order      string // that comes first
	args       []any
}

func newWindow(limit int, cursor string) (*window, error) {
	w := &window{limit: min(limit, MaxPage)}
	if limit <= 0 {
		w.limit = defaultPage
	}
	if cursor != "" {
		after, err := parseCursor(cursor)
		if err != nil {
			return nil, err
		}
		w.after = &after
	}
	return w, nil
}

// bind adds an argument and gives its place in the query.
func (w *window) bind(value any) string {
	w.args = append(w.args, value)
	return "$" + strconv.Itoa(len(w.args))
}

// where adds a comparison with a value, unless the value is empty.
func (w *window) where(comparison, value string) {
	if value != "" {
		w.conditions = append(w.conditions, comparison+w.bind(value))
	}
}

// clause is the end of the query. It asks for one row more than the page, by
// which page sees that there is another.
func (w *window) clause(at, id string) string {
	if w.after != nil {
		w.conditions = append(w.conditions, "("+at+", "+id+") < ("+w.bind(w.after.at)+", "+w.bind(w.after.id)+")")
	}
	where := ""
	if len(w.conditions) > 0 {
		where = " WHERE " + strings.Join(w.conditions, " AND ")
	}
	return where + " ORDER BY " + w.order + at + " DESC, " + id + " DESC LIMIT " + w.bind(w.limit+1)
}

// page cuts the extra row off and makes the cursor of what follows.
func page[T any](items []T, limit int, at func(T) mark) ([]T, string) {
	if len(items) <= limit {
		return items, ""
	}
	return items[:limit], at(items[limit-1]).cursor()
}
