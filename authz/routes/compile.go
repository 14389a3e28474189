package routes

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse/authz"
)

const (
	maxRoutes   = 10_000
	maxSegments = 64
)

// placeholder is a name in braces.
var placeholder = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// teamSegment names the team of a request.
const teamSegment = "{team}"

// Compile makes a route table. Its error names every route that is wrong,
// and what is wrong with it.
func Compile(specs []Spec) (*Table, error) {
	if len(specs) > maxRoutes {
		return nil, fmt.Errorf("routes: %d routes are more than %d", len(specs), maxRoutes)
	}
	t := &Table{}
	var problems []error
	for _, spec := range specs {
		if err := t.add(spec); err != nil {
			problems = append(problems, fmt.Errorf("route %s: %w", spec.Path, err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return t, nil
}

func (t *Table) add(spec Spec) error {
	made, err := ruleOf(spec)
	if err != nil {
		return err
	}
	segments, err := split(spec.Path)
	if err != nil {
		return err
	}
	made.teamDepth = slices.Index(segments, teamSegment)
	at := &t.root
	for i, segment := range segments {
		if segment == "**" && i == len(segments)-1 {
			return place(&at.rest, made)
		}
		at = at.next(segment)
	}
	return place(&at.here, made)
}

func (n *node) next(segment string) *node {
	slot := &n.one
	switch {
	case segment == teamSegment:
		slot = &n.team
	case segment != "*" && !strings.HasPrefix(segment, "{"):
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		if n.literal[segment] == nil {
			n.literal[segment] = &node{}
		}
		return n.literal[segment]
	}
	if *slot == nil {
		*slot = &node{}
	}
	return *slot
}

// place adds a rule beside those of the same pattern; they must be for
// different methods, and one for every method comes last.
func place(rules *[]rule, made rule) error {
	for _, other := range *rules {
		if len(made.methods) == 0 && len(other.methods) == 0 {
			return errors.New("stands there twice, also as " + other.route.Pattern)
		}
		for _, m := range made.methods {
			if slices.Contains(other.methods, m) {
				return errors.New("stands there twice for " + m + ", also as " + other.route.Pattern)
			}
		}
	}
	*rules = append(*rules, made)
	slices.SortStableFunc(*rules, func(a, b rule) int {
		return min(len(b.methods), 1) - min(len(a.methods), 1)
	})
	return nil
}

func ruleOf(spec Spec) (rule, error) {
	made := rule{route: Route{Pattern: spec.Path, StepUp: spec.StepUp, StepUpAge: spec.StepUpAge}, methods: slices.Clone(spec.Methods)}
	switch {
	case (spec.Access == "") == (spec.Permission == ""):
		return rule{}, errors.New("needs either access or permission")
	case spec.Access == "public":
		made.route.Access = authz.Public
	case spec.Access == "signed_in":
		made.route.Access = authz.NeedSignIn
	case spec.Access != "":
		return rule{}, fmt.Errorf("access %q is neither public nor signed_in", spec.Access)
	default:
		text := spec.Permission
		if made.fixed = strings.Contains(text, ":"); !made.fixed {
			text += ":" + authz.Read // stands in for the action that the method says
		}
		p, err := authz.ParsePermission(text)
		if err != nil || strings.Contains(text, "*") {
			return rule{}, fmt.Errorf("permission %q is neither object nor object:action", spec.Permission)
		}
		if p.Own() {
			return rule{}, fmt.Errorf("permission %q is one of the gateway's own", spec.Permission)
		}
		made.route.Permission = p
	}
	switch {
	case spec.StepUp != "" && spec.StepUp != Recent && spec.StepUp != MFA:
		return rule{}, fmt.Errorf("step_up %q is not known, and a route that asks for it must not be served without", spec.StepUp)
	case spec.StepUp != "" && made.route.Access == authz.Public:
		return rule{}, errors.New("is public, so there is no authentication that could be recent")
	case spec.StepUpAge != 0 && spec.StepUp != MFA:
		return rule{}, errors.New("has step_up_age without step_up: mfa")
	case spec.StepUpAge < 0:
		return rule{}, errors.New("has a step_up_age below 0")
	}
	for _, m := range spec.Methods {
		if m == "" || strings.ToUpper(m) != m || strings.ContainsFunc(m, func(c rune) bool { return (c < 'A' || c > 'Z') && c != '-' }) {
			return rule{}, fmt.Errorf("method %q is not written as methods are", m)
		}
	}
	return made, nil
}

// split checks a pattern and gives its segments.
func split(pattern string) ([]string, error) {
	if !strings.HasPrefix(pattern, "/") {
		return nil, errors.New("a pattern begins with /")
	}
	segments := strings.Split(pattern[1:], "/")
	if len(segments) > maxSegments {
		return nil, fmt.Errorf("has more than %d segments", maxSegments)
	}
	for i, s := range segments {
		last := i == len(segments)-1
		inner, named := strings.CutPrefix(s, "{")
		inner, closed := strings.CutSuffix(inner, "}")
		switch {
		case s == "*" || s == "**" && last:
		case s == "**":
			return nil, errors.New("** stands for any rest: it is the last segment")
		case named && closed && placeholder.MatchString(inner):
			if slices.Contains(segments[:i], s) {
				return nil, errors.New(s + " stands there twice")
			}
		case s == "" && !last:
			return nil, errors.New("has an empty segment, which no request may have")
		case s == "." || s == "..":
			return nil, errors.New("has a dot segment, which no request may have")
		case strings.ContainsAny(s, `*{}%?#;\`) || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }):
			return nil, fmt.Errorf("segment %q holds a character that no request's segment may have; * and {name} are whole segments", s)
		}
	}
	if head := segments[0]; head == ".gatehouse" || head == "scim" && len(segments) > 1 && segments[1] == "v2" {
		return nil, errors.New("is served by the gateway itself and never reaches the app")
	}
	return segments, nil
}
