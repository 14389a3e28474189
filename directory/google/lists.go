package google

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/url"
	"strconv"
)

const (
	pageSize = 200 // of people, groups and members: such a page is far below 1 MiB
	// maxPages bounds a list that does not end.
	maxPages = 20_000
)

const (
	userFields   = "id,customerId,primaryEmail,name,suspended,archived,emails,phones,organizations,relations,externalIds,orgUnitPath"
	groupFields  = "id,email,name,directMembersCount"
	memberFields = "id,type"
)

// group is one of Google's.
type group struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
	// Count is how many are in it by themselves, as Google has it: a number as a text.
	Count string `json:"directMembersCount"`
}

// member is of a group: a person, a group, or everybody of the account.
type member struct {
	ID   string `json:"id"`
	Type string `json:"type"` // USER, GROUP, CUSTOMER, EXTERNAL
}

// list reads a list to its end, page by page.
func (r *reader) list(ctx context.Context, path, kind, field, fields string, query url.Values, page func([]json.RawMessage) error) error {
	query.Set("maxResults", strconv.Itoa(pageSize))
	query.Set("fields", "kind,nextPageToken,"+field+"("+fields+")")
	// Of the tokens only hashes are kept: there may be as many as pages, of 4 KB.
	seed, seen := maphash.MakeSeed(), map[uint64]bool{}
	for range maxPages {
		var body map[string]json.RawMessage
		if err := r.get(ctx, path, query, kind, &body); err != nil {
			return err
		}
		var items []json.RawMessage
		var next string
		if raw, ok := body[field]; ok && json.Unmarshal(raw, &items) != nil {
			return errAnswer(nil, field+" is not a list")
		}
		if raw, ok := body["nextPageToken"]; ok && json.Unmarshal(raw, &next) != nil {
			return errAnswer(nil, "nextPageToken is not a text")
		}
		if len(items) > pageSize {
			return errAnswer(nil, "a page has more on it than was asked for")
		}
		if err := page(items); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		token := maphash.String(seed, next)
		if seen[token] || len(next) > 4096 {
			return errAnswer(nil, "its pages go in a circle")
		}
		seen[token] = true
		query.Set("pageToken", next)
	}
	return errAnswer(nil, "the list has no end")
}

// users reads all people of the account.
func (r *reader) users(ctx context.Context, customer string, page func([]user) error) error {
	return r.list(ctx, "users", "admin#directory#users", "users", userFields, url.Values{"customer": {customer}, "orderBy": {"email"}, "projection": {"basic"}}, func(items []json.RawMessage) error {
		people := make([]user, len(items))
		for i, raw := range items {
			if err := people[i].read(raw); err != nil {
				return err
			}
		}
		return page(people)
	})
}

// user reads one person; see [isMissing].
func (r *reader) user(ctx context.Context, id string) (u user, err error) {
	var raw json.RawMessage
	if err := r.get(ctx, "users/"+url.PathEscape(id), url.Values{"projection": {"basic"}, "fields": {"kind," + userFields}}, "admin#directory#user", &raw); err != nil {
		return u, err
	}
	return u, u.read(raw)
}

func (g *group) check() error {
	if !isID(g.ID) || !isAddress(g.Email) {
		return errAnswer(nil, "a group has no id or address")
	}
	if g.Name == "" {
		g.Name = g.Email
	}
	return nil
}

// groups reads all groups of the account.
func (r *reader) groups(ctx context.Context, customer string, page func([]group) error) error {
	return r.list(ctx, "groups", "admin#directory#groups", "groups", groupFields, url.Values{"customer": {customer}}, func(items []json.RawMessage) error {
		groups := make([]group, len(items))
		for i, raw := range items {
			if json.Unmarshal(raw, &groups[i]) != nil {
				return errAnswer(nil, "a group is not what it should be")
			}
			if err := groups[i].check(); err != nil {
				return err
			}
		}
		return page(groups)
	})
}

// group reads one by its id or address; see [isMissing].
func (r *reader) group(ctx context.Context, key string) (g group, err error) {
	if err := r.get(ctx, "groups/"+url.PathEscape(key), url.Values{"fields": {"kind," + groupFields}}, "admin#directory#group", &g); err != nil {
		return g, err
	}
	return g, g.check()
}

// errUncounted is of a list of members that says less than the group's own count.
var errUncounted = errors.New("google: members that are counted are not listed")

// members reads who is in a group by themselves; see [isMissing] and [errUncounted]. Google
// leaves an empty list out, so that an answer which has lost its list looks like nobody:
// a list with nothing on its last page is believed only if the group's count agrees.
func (r *reader) members(ctx context.Context, id string, page func([]member) error) error {
	count, last := 0, 0
	err := r.list(ctx, "groups/"+url.PathEscape(id)+"/members", "admin#directory#members", "members", memberFields, url.Values{}, func(items []json.RawMessage) error {
		last = len(items)
		count += last
		members := make([]member, len(items))
		for i, raw := range items {
			if json.Unmarshal(raw, &members[i]) != nil || members[i].Type == "" {
				return errAnswer(nil, "a member is not what it should be")
			}
		}
		return page(members)
	})
	if err != nil || last > 0 {
		return err
	}
	g, err := r.group(ctx, id)
	if err == nil && g.Count != strconv.Itoa(count) {
		err = errAnswer(errUncounted, "it lists fewer members of "+g.Email+" than it counts")
	}
	return err
}

// hasMember asks whether somebody is in a group, by themselves or through another one.
func (r *reader) hasMember(ctx context.Context, group, id string) (bool, error) {
	var answer struct {
		Is *bool `json:"isMember"`
	}
	// This answer has no kind.
	if err := r.get(ctx, "groups/"+url.PathEscape(group)+"/hasMember/"+url.PathEscape(id), url.Values{"fields": {"isMember"}}, "", &answer); err != nil {
		return false, err
	}
	if answer.Is == nil {
		return false, errAnswer(nil, "it does not say whether somebody is a member")
	}
	return *answer.Is, nil
}
