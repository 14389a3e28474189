// Package routes is the app's route table: which address asks its callers for
// which permission, and in which team.
//
// It exists so that a request finds its route without a look at roles, tenants
// or policies, and without allocating; the table is made once, and all that is
// wrong with it is told at once. It must not decide anything: authz does.
package routes

import (
	"net/http"
	"strings"
	"time"

	"gatehouse/authz"
)

// The step-ups of routes: Recent asks for a recent authentication at the identity
// provider, MFA for a second factor.
const (
	Recent = "recent"
	MFA    = "mfa"
)

// Spec is one line of the table, as it is configured.
type Spec struct {
	// Path is the pattern: segments that match themselves, "*" or "{name}" for
	// one segment, "**" at the end for any rest. The segment at "{team}" is the
	// name of the team that the permission is asked for.
	Path string
	// Exactly one of Access ("public", "signed_in") and Permission is set.
	// Permission is "object", with the action from the method, or
	// "object:action".
	Access     string
	Permission string
	StepUp     string // empty, Recent or MFA
	// StepUpAge is how long ago the second factor may have been shown; 0: as the
	// tenant has set for recent authentications.
	StepUpAge time.Duration
	Methods   []string // none: every method
}

// Route is what a request's route asks of its caller.
type Route struct {
	Pattern    string
	Access     authz.Access
	Permission authz.Permission
	Team       string // from the path; empty: account-level
	StepUp     string // empty, Recent or MFA
	StepUpAge  time.Duration
}

// Table is a compiled route table. It does not change.
type Table struct{ root node }

// node is the place of one segment in the tree of patterns.
type node struct {
	literal map[string]*node
	team    *node // {team}
	one     *node // * and other {names}
	here    []rule
	rest    []rule // ** from here on
}

// rule is one route at the node where its pattern ends.
type rule struct {
	route     Route
	fixed     bool // the permission names its action
	methods   []string
	teamDepth int // the segment that names the team; -1: none
}

// Match finds the route of a request. path is decoded once, in the strict form
// of P4: it begins with "/" and holds no dot segments and no encoded
// separators. It does not allocate.
//
// The pattern that is most specific, looked at from the left, decides: a
// literal segment before {team}, {team} before *, * before **. If that pattern
// is not for the method, nothing is: a table that restricts a path for one
// method does not thereby open it for the others.
func (t *Table) Match(method, path string) (Route, bool) {
	if path == "" || path[0] != '/' {
		return Route{}, false
	}
	rules := t.root.find(path[1:])
	for i := range rules {
		if !rules[i].holdsFor(method) {
			continue
		}
		route := rules[i].route
		if rules[i].teamDepth >= 0 {
			route.Team = segmentAt(path[1:], rules[i].teamDepth)
		}
		if route.Access == authz.NeedPermission && !rules[i].fixed {
			route.Permission.Action = actionOf(method)
		}
		return route, true
	}
	return Route{}, false
}

// find gives the rules of the most specific pattern that matches the rest of a
// path. Each node stands for one depth, so each is visited at most once.
func (n *node) find(rest string) []rule {
	segment, after, more := strings.Cut(rest, "/")
	if next := n.literal[segment]; next != nil {
		if found := next.onwards(after, more); found != nil {
			return found
		}
	}
	if segment != "" {
		if n.team != nil {
			if found := n.team.onwards(after, more); found != nil {
				return found
			}
		}
		if n.one != nil {
			if found := n.one.onwards(after, more); found != nil {
				return found
			}
		}
	}
	return n.rest
}

// onwards continues behind a segment that matched.
func (n *node) onwards(after string, more bool) []rule {
	if more {
		return n.find(after)
	}
	if n.here != nil {
		return n.here
	}
	return n.rest // ** stands for nothing, too
}

func (r *rule) holdsFor(method string) bool {
	if len(r.methods) == 0 {
		return true
	}
	for _, m := range r.methods {
		if m == method {
			return true
		}
	}
	return false
}

func segmentAt(path string, depth int) string {
	for range depth {
		_, path, _ = strings.Cut(path, "/")
	}
	segment, _, _ := strings.Cut(path, "/")
	return segment
}

// actionOf is what a method does to an object, by its defined semantics
// (RFC 9110 §9); one that nobody has defined is taken for a write.
func actionOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return authz.Read
	case http.MethodDelete:
		return authz.Delete
	default:
		return authz.Write
	}
}
