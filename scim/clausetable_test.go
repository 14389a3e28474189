package scim_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryClauseHasItsTest holds testdata/clauses.txt and the tests to each other.
func TestEveryClauseHasItsTest(t *testing.T) {
	there := testsOf(t, "*_test.go", "resource/*_test.go")
	text, err := os.ReadFile("testdata/clauses.txt")
	must(t, err)
	section := regexp.MustCompile(`^(6585|7643|7644|9865|9110) \d+(\.\d+)*(, \d+(\.\d+)*)*$`)
	named := map[string]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 3 || !section.MatchString(parts[0]) {
			t.Errorf("line %d is not: section | requirement | tests", i+1)
			continue
		}
		if strings.HasPrefix(parts[2], "none: ") {
			continue
		}
		for name := range strings.FieldsSeq(parts[2]) {
			if named[name] = true; !slices.Contains(there, name) {
				t.Errorf("line %d: there is no test %s", i+1, name)
			}
		}
	}
	for _, name := range there {
		if strings.HasPrefix(name, "TestRFC") && !named[name] {
			t.Errorf("%s is not in testdata/clauses.txt", name)
		}
	}
}

// testsOf gives the tests in some files.
func testsOf(t *testing.T, patterns ...string) (names []string) {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, file := range files {
			syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			must(t, err)
			for _, decl := range syntax.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	return names
}
