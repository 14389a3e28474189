package api

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/fault"
)

// The parts of inputs that operations share are exported because huma looks
// into embedded structs only if their names are.

// ByID is the input of an operation on one thing.
type ByID[T ~string] struct {
	ID T `path:"id" maxLength:"64"`
}

// ByName is the input of an operation on one thing that has a name of its own.
type ByName struct {
	Name string `path:"name" maxLength:"64"`
}

// Paging is what every list takes.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"512" doc:"next_cursor of the page before"`
}

// page is one page of a list; an empty next_cursor means there is no more.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor" doc:"Hand it back as cursor for the next page; empty at the end"`
}

type pageOutput[T any] struct{ Body page[T] }

// pageOf builds a page from what a room gave, translating each item.
func pageOf[S, T any](items []S, next string, translate func(S) T) *pageOutput[T] {
	out := &pageOutput[T]{Body: page[T]{Items: make([]T, len(items)), NextCursor: next}}
	for i, item := range items {
		out.Body.Items[i] = translate(item)
	}
	return out
}

// pageWithin is one page, in the order of a key that no two items share, of a
// list that a room hands out whole. The cursor is the key of the last item
// before the page, and stands for its place also when the item is gone.
func pageWithin[S, T any](in Paging, items []S, id func(S) string, translate func(S) T) *pageOutput[T] {
	items = slices.SortedFunc(slices.Values(items), func(a, b S) int { return strings.Compare(id(a), id(b)) })
	if in.Cursor != "" {
		at, found := slices.BinarySearchFunc(items, in.Cursor, func(item S, cursor string) int { return strings.Compare(id(item), cursor) })
		if found {
			at++
		}
		items = items[at:]
	}
	next := ""
	if len(items) > in.Limit {
		items = items[:in.Limit]
		next = id(items[in.Limit-1])
	}
	return pageOf(items, next, translate)
}

// bodyOutput is one thing without a version.
type bodyOutput[T any] struct{ Body T }

// versioned is one thing with its version as ETag (RFC 9110 §8.8.3).
type versioned[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

func withVersion[T any](version uint64, body T) *versioned[T] {
	return &versioned[T]{ETag: strconv.Quote(strconv.FormatUint(version, 10)), Body: body}
}

// Condition is the input part of a change that may carry a condition.
type Condition struct {
	IfMatch string `header:"If-Match" maxLength:"64" doc:"The ETag that the thing must still have"`
}

// Creation is embedded by the inputs of writes that may also make the thing.
type Creation struct {
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"*: only if there is none of this name yet"`
}

// check refuses to replace what is there, if that was asked (RFC 9110 §13.1.2).
func (c Creation) check(there bool) error {
	if c.IfNoneMatch != "" && there {
		return errThere
	}
	return nil
}

// version is the version that If-Match asks for; 0 means any. An entity tag
// that we could never have given matches nothing (RFC 9110 §13.1.1).
func (c Condition) version() (uint64, error) {
	tag := strings.TrimSpace(c.IfMatch)
	if tag == "" || tag == "*" {
		return 0, nil
	}
	unquoted, err := strconv.Unquote(tag)
	if err != nil || tag[0] != '"' {
		return 0, errChanged
	}
	version, err := strconv.ParseUint(unquoted, 10, 64)
	if err != nil || version == 0 {
		return 0, errChanged
	}
	return version, nil
}

// check is for rooms that take no version with a change: it compares with the
// version just read.
func (c Condition) check(current uint64) error {
	want, err := c.version()
	if err != nil {
		return err
	}
	if want != 0 && want != current {
		return errChanged
	}
	return nil
}

var errChanged = fault.New(fault.Precondition, "changed-meanwhile", "It was changed since you read it. Read it again and repeat your change.")

var errThere = fault.New(fault.Precondition, "there-already", "There is one of this name already.")

var errNoSuchTenant = fault.New(fault.NotFound, "no-such-tenant", "There is no tenant with this name or id.")

// timestamp shows a time, or nothing for the zero time.
func timestamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
