package postgrestest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// again is the test of a package that runs the others over PostgreSQL.
const again = "TestOnPostgres"

// Again runs tests of a package, which the test binary runs over SQLite as well,
// over PostgreSQL: inside of it, [Or] gives a database there. apart names what
// stands in the files of these tests and has no store; a test that is neither is
// an error, so that none is forgotten. TestOnPostgres calls it.
func Again(t *testing.T, tests []func(*testing.T), apart ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	if t.Name() != again {
		t.Fatalf("this is %s and not %s", t.Name(), again)
	}
	known, files := map[string]bool{again: true}, map[string]bool{}
	for _, name := range apart {
		known[name] = true
	}
	for _, test := range tests {
		f := runtime.FuncForPC(reflect.ValueOf(test).Pointer())
		file, _ := f.FileLine(f.Entry())
		name := f.Name()[strings.LastIndexByte(f.Name(), '.')+1:]
		known[name], files[filepath.Base(file)] = true, true
		t.Run(strings.TrimPrefix(name, "Test"), test)
	}
	for file := range files {
		for _, name := range testsIn(t, file) {
			if !known[name] {
				t.Errorf("%s is not run over PostgreSQL: name it among the tests, or apart from them", name)
			}
		}
	}
}

// testsIn gives the tests in a file of the package that is being tested, whose
// folder is the working directory.
func testsIn(t *testing.T, file string) (names []string) {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range syntax.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// Or gives the URL of the store that a test is to open: the one given, or that
// of an empty database of environment "test" if the test runs inside of [Again].
func Or(t testing.TB, sqlite string) string {
	t.Helper()
	if !strings.HasPrefix(t.Name(), again+"/") {
		return sqlite
	}
	return Shared(t).Borrow(t).Application
}
