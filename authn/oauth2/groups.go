package oauth2

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// groupName is how a group is called, in one part or several.
type groupName struct{ parts []string }

// String joins the parts.
func (g groupName) String() string { return strings.Join(g.parts, "/") }

// groups gives the names of all groups that the provider says the person is in; nil
// if the connection does not ask, or the claims do not tell.
func (q *inquiry) groups(ctx context.Context, me any) ([]string, error) {
	var found []groupName
	switch claimed := at(me, q.spec.Claims.Groups); {
	case len(q.spec.GroupsFrom) > 0:
		for _, from := range q.spec.GroupsFrom {
			entries, err := q.list(ctx, askGroups, from.URL)
			if err != nil {
				return nil, err
			}
			for _, entry := range entries {
				var g groupName
				for _, path := range from.Name {
					g.parts = append(g.parts, label(at(entry, path)))
				}
				found = append(found, g)
			}
		}
	case q.spec.Claims.Groups == "" || claimed == nil:
		return nil, nil
	default:
		list, ok := claimed.([]any)
		if !ok {
			list = []any{claimed}
		}
		for _, one := range list {
			found = append(found, groupName{parts: []string{label(one)}})
		}
	}
	names := make([]string, 0, len(found))
	for _, g := range found {
		if err := all(q.checks.groups, g); err != nil {
			return nil, err
		}
		names = append(names, g.String())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// page is one page of a list.
type page struct {
	asked   question
	at      *url.URL
	seen    []string // the addresses of the pages up to this one
	list    bool
	entries int // up to this page
	next    []*url.URL
	broken  bool // the Link fields cannot be read
}

// following is the next page; nil if this is the last one.
func (p *page) following() *url.URL {
	if len(p.next) == 0 {
		return nil
	}
	return p.next[0]
}

// list reads all pages of a list. One that is not whole is none: who is in a group
// is not a thing to know by half.
func (q *inquiry) list(ctx context.Context, asked question, address string) (entries []any, err error) {
	p := &page{asked: asked}
	if p.at, err = url.Parse(address); err != nil {
		return nil, unreachable(asked, err)
	}
	for {
		p.seen = append(p.seen, p.at.String())
		r, err := q.get(ctx, asked, p.at.String())
		if err != nil {
			return nil, err
		}
		d, err := q.read(r)
		if err != nil {
			return nil, err
		}
		of, ok := d.value.([]any)
		entries = append(entries, of...)
		p.list, p.entries = ok, len(entries)
		p.next, p.broken = nextPages(p.at, r.links)
		if err := all(q.checks.pages, p); err != nil {
			return nil, err
		}
		if p.at = p.following(); p.at == nil {
			return entries, nil
		}
	}
}

// nextPages reads where a list goes on (RFC 8288 §3); broken if the fields cannot be
// read, and so nobody can tell.
func nextPages(base *url.URL, fields []string) (next []*url.URL, broken bool) {
	for _, field := range fields {
		for rest := strings.TrimLeft(field, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			target, params, ok := strings.Cut(strings.TrimPrefix(rest, "<"), ">")
			if !ok || rest[0] != '<' {
				return nil, true
			}
			var relations []string
			if relations, rest, ok = linkParams(params); !ok {
				return nil, true
			}
			if !slices.ContainsFunc(relations, func(r string) bool { return strings.EqualFold(r, "next") }) {
				continue
			}
			u, err := base.Parse(target)
			if err != nil {
				return nil, true
			}
			u.Fragment, u.RawFragment = "", ""
			if !slices.ContainsFunc(next, func(o *url.URL) bool { return o.String() == u.String() }) {
				next = append(next, u)
			}
		}
	}
	return next, false
}

// linkParams reads the parameters of one link up to the comma that ends it, and
// gives its relations (RFC 8288 §3.3: of several rel the first one counts).
func linkParams(s string) (relations []string, rest string, ok bool) {
	named := false
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == ',' {
			return relations, s, true
		}
		if s[0] != ';' {
			return nil, "", false
		}
		s = strings.TrimLeft(s[1:], " \t")
		end := strings.IndexAny(s, "=;, \t")
		if end < 0 {
			end = len(s)
		}
		name := s[:end]
		s = strings.TrimLeft(s[end:], " \t")
		if !strings.HasPrefix(s, "=") {
			continue // a parameter without a value
		}
		var value string
		if value, s, ok = linkValue(strings.TrimLeft(s[1:], " \t")); !ok {
			return nil, "", false
		}
		if strings.EqualFold(name, "rel") && !named {
			relations, named = strings.Fields(value), true
		}
	}
}

// linkValue reads a token or a quoted string (RFC 9110 §5.6).
func linkValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";, \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
