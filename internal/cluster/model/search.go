package model

import (
	"fmt"
	"slices"
	"strings"
)

// Result is what a search has found.
type Result struct {
	States int
	// Trace is the shortest way to a broken promise, a step a line; empty if there
	// is none.
	Trace []string
}

func (r Result) String() string {
	if len(r.Trace) == 0 {
		return fmt.Sprintf("%d states, none of which breaks the promise", r.States)
	}
	return fmt.Sprintf("%d states, and this breaks the promise:\n  %s", r.States, strings.Join(r.Trace, "\n  "))
}

// search goes through the states breadth first.
type search struct {
	rules  Rules
	states []state
	from   []int32  // the state before
	by     []string // the step that led here
	index  map[state]struct{}
	here   int32
}

// Check takes every order of steps, from the cluster at rest on, until a promise
// is broken or there is no other state.
func Check(rules Rules, faults Faults) Result {
	s := search{rules: rules, index: map[state]struct{}{}}
	s.reach("", start(faults))
	for ; int(s.here) < len(s.states); s.here++ {
		if now := s.states[s.here]; !now.over() && s.steps(now) {
			return Result{States: len(s.states), Trace: s.trace()}
		}
	}
	return Result{States: len(s.states)}
}

func (s *search) reach(by string, next state) {
	next.normal()
	if _, known := s.index[next]; known {
		return
	}
	s.index[next] = struct{}{}
	s.states = append(s.states, next)
	s.from = append(s.from, s.here)
	s.by = append(s.by, by)
}

const passing = "a tick passes"

// trace tells how the state here was reached.
func (s *search) trace() []string {
	steps := []string{"B forwards a request of the session"}
	for at := s.here; at != 0; at = s.from[at] {
		steps = append(steps, s.by[at])
	}
	slices.Reverse(steps)
	lines, clock := []string{}, 0
	for _, step := range steps {
		if step == passing {
			clock++
			continue
		}
		lines = append(lines, fmt.Sprintf("%2d  %s", clock, step))
	}
	return lines
}
