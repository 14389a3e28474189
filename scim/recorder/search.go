package recorder

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Filter says which requests are looked for; the zero value: all.
type Filter struct {
	From, To time.Time // From inclusive, To exclusive
	Token    string    // id or name
	Method   string
	// About is the id of a person or group, or part of what they are called, whatever the
	// letter case.
	About    string
	Status   int // a status, or its first digit: 4 is 400 to 499
	ScimType string
	Failed   bool // only what was refused or went wrong
	Changed  bool // only what has changed something
	Limit    int  // 1 to 200
	Cursor   string
}

// Page is a part of what was looked for, newest first, without the details. Next is empty
// when there is no more.
type Page struct {
	Items []Request
	Next  string
}

var errCursor = fault.New(fault.Invalid, "cursor-invalid", "The cursor is not one of this list's; start at the first page.")

// maxLimit is how many requests a page has at most.
const maxLimit = 200

// Search finds requests that any node has written. Those of the last second may be
// missing yet.
func (s *Service) Search(ctx context.Context, tenant identity.TenantID, f Filter) (Page, error) {
	f.Limit = min(max(f.Limit, 1), maxLimit)
	query, args, err := f.query()
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = s.Store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		page.Items, err = store.All(ctx, tx, scan, query, args...)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	if len(page.Items) > f.Limit {
		page.Items = page.Items[:f.Limit]
		last := page.Items[f.Limit-1]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(store.Millis(last.Time), 10) + "." + string(last.ID)))
	}
	return page, nil
}

// query asks for one row more than the page has, which tells whether there is a next one.
func (f *Filter) query() (text string, args []any, err error) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	// What is too old is not there, even if nobody has removed it yet.
	where := []string{"at >= " + arg(max(store.Millis(f.From), store.Millis(time.Now().Add(-Kept))))}
	add := func(asked bool, condition ...string) {
		if asked {
			where = append(where, strings.Join(condition, ""))
		}
	}
	if f.Cursor != "" {
		raw, _ := base64.RawURLEncoding.DecodeString(f.Cursor)
		millis, id, ok := strings.Cut(string(raw), ".")
		at, err := strconv.ParseInt(millis, 10, 64)
		if !ok || err != nil {
			return "", nil, errCursor
		}
		add(true, "(at < ", arg(at), " OR at = ", arg(at), " AND id < ", arg(id), ")")
	}
	if !f.To.IsZero() {
		add(true, "at < ", arg(store.Millis(f.To)))
	}
	if f.Token != "" {
		add(true, "(token_id = ", arg(f.Token), " OR token_name = ", arg(f.Token), ")")
	}
	if f.Method != "" {
		add(true, "method = ", arg(strings.ToUpper(f.Method)))
	}
	if f.About != "" {
		part := strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`).Replace(strings.ToLower(f.About))
		like := " LIKE " + arg("%"+part+"%") + " ESCAPE '!'"
		if isID(f.About) { // a name is not looked for in ids, where many a part of one is
			add(true, "(about", like, " OR id IN (SELECT request_id FROM scim_request_ids WHERE ids", like, "))")
		} else {
			add(true, "about", like)
		}
	}
	switch {
	case f.Status >= 100:
		add(true, "status = ", arg(f.Status))
	case f.Status > 0:
		add(true, "status >= ", arg(f.Status*100), " AND status < ", arg(f.Status*100+100))
	}
	if f.ScimType != "" {
		add(true, "scim_type = ", arg(f.ScimType))
	}
	add(f.Failed, "failed")
	add(f.Changed, "changed")
	return `SELECT ` + columns + ` FROM scim_requests WHERE ` + strings.Join(where, " AND ") + ` ORDER BY at DESC, id DESC LIMIT ` + arg(f.Limit+1), args, nil
}
