package scim

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"
	filter "github.com/scim2/filter-parser/v2"

	"gatehouse/directory"
	"gatehouse/scim/resource"
)

const listURN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

const defaultCount = 100

// list answers with the people, the groups, or at the root with both in one list
// (RFC 7644 §3.4.2, §3.4.2.1).
func (c *call) list(ctx context.Context) (*reply, error) {
	q, err := c.readList()
	if err != nil {
		return nil, err
	}
	if c.query.Has("cursor") {
		return c.listByCursor(ctx, q)
	}
	return c.listByIndex(ctx, q)
}

// listed are the kinds that the list is of.
func (c *call) listed() []*resource.Kind {
	if c.kind != nil {
		return []*resource.Kind{c.kind}
	}
	return []*resource.Kind{c.kinds.User, c.kinds.Group}
}

// readList reads what a list is asked for, apart from the page.
func (c *call) readList() (q directory.Query, err error) {
	c.note.list(c.query)
	l := &listing{kinds: c.listed(), base: c.base}
	filters, err := l.filters(c.query.Get("filter"))
	if err != nil {
		return q, err
	}
	keys, err := l.keys(c.query.Get("sortBy"))
	if err != nil {
		return q, err
	}
	descending, err := readOrder(c.query.Get("sortOrder"))
	if err != nil {
		return q, err
	}
	for _, k := range l.kinds {
		part := &directory.Part{Filter: filters[k], By: keys[k]}
		if k.Is(resource.User) {
			q.Users = part
		} else {
			q.Groups = part
		}
	}
	q.Sorted, q.WithMembers = keys != nil, c.projection.Includes(resource.Group, "members")
	q.WithoutGroups = !c.projection.Includes(resource.User, "groups")
	q.Descending = descending && q.Sorted
	return q, nil
}

// readOrder reads sortOrder (RFC 7644 §3.4.2.3).
func readOrder(text string) (descending bool, err error) {
	switch strings.ToLower(text) {
	case "", "ascending":
		return false, nil
	case "descending":
		return true, nil
	}
	return false, resource.Bad(scimerrors.ScimTypeInvalidValue, "sortOrder is ascending or descending.")
}

// keys reads what a list is sorted by; nil: by nothing in particular.
func (l *listing) keys(sortBy string) (map[*resource.Kind]directory.Key, error) {
	if sortBy == "" {
		return nil, nil
	}
	path, err := resource.ParseAttribute(sortBy)
	if err != nil {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "sortBy cannot be used: %v.", err)
	}
	keys := make(map[*resource.Kind]directory.Key)
	for _, k := range l.kinds {
		if keys[k], err = (translation{l, k}).key(path); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// key gives what records of the kind are sorted by. Of an attribute with several
// values that is the primary one, or else the first (RFC 7644 §3.4.2.3).
func (t translation) key(path filter.AttributePath) (key directory.Key, err error) {
	a, here, err := t.named(path)
	if err != nil {
		return key, resource.Bad(scimerrors.ScimTypeInvalidValue, "There is no attribute %.128q to sort by.", path)
	}
	if a.sub == nil && a.HasSubAttributes() {
		var ok bool
		if a, ok = a.with("value"); !ok {
			return key, resource.Bad(scimerrors.ScimTypeInvalidValue, "%s has no order of its own: sort by one of its parts.", a.Name())
		}
	}
	if a.value().AttributeType() == "binary" {
		return key, resource.Bad(scimerrors.ScimTypeInvalidValue, "%s has no order.", a.Name())
	}
	p, list := t.find(t.kind, a), a.list()
	if !here || p.constant != "" || a.isCore("schemas") { // the same for all
		return key, nil
	}
	return directory.Key{Attr: p.attr, In: list.in, List: list.path, Path: p.path, Kind: p.kind, Exact: p.exact}, nil
}

// listByIndex answers with a page by its number (RFC 7644 §3.4.2.4).
func (c *call) listByIndex(ctx context.Context, q directory.Query) (*reply, error) {
	// A start below 1 means 1, a count below 0 means 0.
	start, err := readNumber(c.query, "startIndex", 1)
	if err != nil {
		return nil, err
	}
	if q.Count, err = readNumber(c.query, "count", defaultCount); err != nil {
		return nil, err
	}
	q.Count = min(max(q.Count, 0), directory.MaxPage)
	at := c.service.readings.find(c.reading(), max(start, 1))
	if q.Total, q.At = true, at.after; q.At.ID == "" {
		q.Start = at.start - 1
	}
	page, err := c.find(ctx, q)
	if err != nil {
		return nil, err
	}
	// What a reading has behind it counts as it was read: totalResults is how many the
	// client gets in all, which tells it when to stop.
	total := page.Total + at.start - 1 - q.Start
	if n := len(page.Items); n > 0 && n < total {
		c.service.readings.note(c.reading(), at, index{at.start + n, page.Items[n-1].At})
	}
	items, err := c.answers(page.Items)
	if err != nil {
		return nil, err
	}
	return listReply(at.start, total, items), nil
}

// reading says which pages this one belongs to.
func (c *call) reading() readingKey {
	return readingKey{tenant: c.tenant, token: c.cause.Actor.ID, filter: c.query.Get("filter"),
		sorted: c.query.Get("sortBy") + " " + c.query.Get("sortOrder"), kind: c.kindName()}
}

// listByCursor answers with the page at a cursor (RFC 9865 §2). All are counted for the
// first page; the others say what it has said.
func (c *call) listByCursor(ctx context.Context, q directory.Query) (*reply, error) {
	if c.query.Has("startIndex") {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "cursor and startIndex exclude each other.")
	}
	var err error
	if q.Count, err = readNumber(c.query, "count", defaultCount); err != nil {
		return nil, resource.Bad(invalidCount, "count is a whole number; a page has at most %d.", directory.MaxPage)
	}
	q.Count = max(q.Count, 0) // which asks for totalResults alone
	now, digest := time.Now(), c.digest()
	at := cursor{List: digest}
	if text := c.query.Get("cursor"); text != "" {
		if at, err = c.readCursor(ctx, text, digest, now); err != nil {
			return nil, err
		}
	} else {
		q.Total = true
	}
	q.At, q.Back = directory.Position{Key: at.Key, ID: at.ID}, at.Back
	page, err := c.find(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.Total {
		at.Total = page.Total
	}
	items, err := c.answers(page.Items)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"schemas": []string{listURN}, "totalResults": at.Total, "itemsPerPage": len(items), "Resources": items}
	if q.Count == 0 {
		return &reply{status: http.StatusOK, body: body}, nil // no page, and none beside it
	}
	at.Until = now.Add(cursorLife).Unix()
	next, previous := at.beside(page)
	for name, beside := range map[string]*cursor{"nextCursor": next, "previousCursor": previous} {
		if beside == nil {
			continue
		}
		if body[name], err = c.cursorText(ctx, beside); err != nil {
			return nil, err
		}
	}
	return &reply{status: http.StatusOK, body: body}, nil
}

// find bounds the time that a list takes, and how many take long at once: what no index
// serves looks at everybody.
func (c *call) find(ctx context.Context, q directory.Query) (directory.Page, error) {
	if !q.Served() {
		end, err := c.service.searches.begin(ctx, c.tenant)
		if err != nil {
			return directory.Page{}, err
		}
		defer end()
	}
	bounded, cancel := context.WithTimeout(ctx, c.service.searchTime)
	defer cancel()
	page, err := c.service.directory.Find(bounded, c.tenant, q)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = resource.Bad(scimerrors.ScimTypeTooMany, "Looking through everybody takes too long. Ask for something that is looked up, such as userName, externalId or an address.")
	}
	return page, err
}

// answers gives what was found as the client gets it.
func (c *call) answers(found []directory.Item) ([]resource.Object, error) {
	items := make([]resource.Object, 0, len(found))
	for _, item := range found {
		if item.Group != nil {
			items = append(items, c.projection.Of(c.kinds.Group, c.groupAnswer(item.Group)))
			continue
		}
		res, err := c.userAnswer(item.User)
		if err != nil {
			return nil, err
		}
		items = append(items, c.projection.Of(c.kinds.User, res))
	}
	return items, nil
}

func readNumber(query url.Values, name string, otherwise int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // more than there ever is, or less
		return 0, resource.Bad(scimerrors.ScimTypeInvalidValue, "%s is a whole number.", name)
	}
	return int(n), nil
}

func listReply(start, total int, items []resource.Object) *reply {
	return &reply{status: http.StatusOK, body: map[string]any{"schemas": []string{listURN}, "totalResults": total,
		"startIndex": start, "itemsPerPage": len(items), "Resources": items}}
}
