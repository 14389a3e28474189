package configs

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
)

// Problem is one thing wrong with the file, and what to do about it.
type Problem struct {
	File         string
	Line, Column int    // from 1
	What         string // what is wrong
	Fix          string // what to do
}

// String gives the form that editors jump to: "file:line:column: what; fix".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s; %s", p.File, p.Line, p.Column, p.What, p.Fix)
}

// checker collects problems.
type checker struct {
	source
	folder   string // of the config file
	problems []Problem
	// broken holds the key paths that could not be read: what stands there is
	// reported already, so that no check complains about its absence.
	broken map[string]bool
}

// maxProblems bounds the list: nobody mends more at a time.
const maxProblems = 100

// add reports a problem with the value at a key path.
func (c *checker) add(path, what, fix string) {
	for p := path; p != ""; p = parent(p) {
		if c.broken[p] {
			return
		}
	}
	c.addAt(c.locate(path), what, fix)
}

// unreadable reports that the value at a key path is not what belongs there.
func (c *checker) unreadable(path string, at position, what, fix string) {
	c.broken[path] = true
	c.addAt(at, what, fix)
}

func (c *checker) addAt(p position, what, fix string) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{c.file, p.line, p.column, what, fix})
	}
}

// resolve makes a path that is relative to the config file absolute.
func (c *checker) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.folder, path)
}

// sorted gives the problems in the order of the file.
func (c *checker) sorted() []Problem {
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return c.problems
}
