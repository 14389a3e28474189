package model

import (
	"fmt"
	"hash/maphash"
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
	here   int32
	next   state // that a step is being tried on

	seed  maphash.Seed
	index []int32 // where in states they are, by their hashes
}

// nowhere is a place in the index that no state has taken.
const nowhere = -1

// Check takes every order of steps, from the cluster at rest on, until a promise
// is broken or there is no other state.
func Check(rules Rules, faults Faults) Result {
	s := search{rules: rules, seed: maphash.MakeSeed(), index: places(1 << 10)}
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
	at := s.find(&next)
	if s.index[at] != nowhere {
		return
	}
	s.index[at] = int32(len(s.states)) // #nosec G115 -- memory ends before
	s.states = append(s.states, next)
	s.from = append(s.from, s.here)
	s.by = append(s.by, by)
	if 2*len(s.states) > len(s.index) {
		s.index = places(4 * len(s.states))
		for i := range s.states {
			s.index[s.find(&s.states[i])] = int32(i) // #nosec G115 -- as above
		}
	}
}

// find gives the place of a state in the index, or the one where it belongs. It is
// what a map does, in a fraction of the time: nearly all of the search is this.
func (s *search) find(wanted *state) int {
	at := int(maphash.Comparable(s.seed, *wanted) % uint64(len(s.index))) // #nosec G115 -- less than a length
	for s.index[at] != nowhere && s.states[s.index[at]] != *wanted {
		at = (at + 1) % len(s.index)
	}
	return at
}

// places makes an index with nothing in it.
func places(n int) []int32 {
	index := make([]int32, n)
	for i := range index {
		index[i] = nowhere
	}
	return index
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
