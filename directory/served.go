package directory

import "slices"

// The attributes that an index finds by equality, and those whose order one has.
var (
	lookedUp = []Attr{AttrID, AttrUserName, AttrDisplayName, AttrExternalID, AttrEmail, AttrGroup, AttrMember}
	ordered  = []Attr{AttrID, AttrUserName, AttrDisplayName, AttrExternalID, AttrCreated, AttrUpdated}
)

// Served reports whether indexes serve the list, so that it does not look at everybody.
func (q *Query) Served() bool {
	for _, p := range []*Part{q.Users, q.Groups} {
		if p != nil && !served(p.Filter) && (p.Filter != nil || !q.inOrder(p.By)) {
			return false
		}
	}
	return true
}

// inOrder reports whether the list needs no sorting by a key.
func (q *Query) inOrder(k Key) bool {
	return !q.Sorted || k.In == "" && len(k.Path) == 0 && len(k.List) == 0 && (k.Attr == "" || slices.Contains(ordered, k.Attr))
}

// served reports whether an index finds the few among whom all are that a filter holds for.
func served(f Filter) bool {
	switch f := f.(type) {
	case Compare:
		if len(f.Before)+len(f.After) > 0 && f.Op != Equal {
			return false
		}
		switch f.Op {
		case Equal:
			return slices.Contains(lookedUp, f.Attr)
		case StartsWith:
			text, _ := f.Value.(string)
			return text != "" && slices.Contains(lookedUp, f.Attr)
		case Greater, GreaterOrEqual, Less, LessOrEqual:
			return slices.Contains(ordered, f.Attr)
		}
	case All:
		return slices.ContainsFunc(f, served)
	case Any: // of nothing: nobody
		return !slices.ContainsFunc(f, func(part Filter) bool { return !served(part) })
	}
	return false
}
