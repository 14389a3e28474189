// Package gatehouse_test checks the shape of the house: which room stands on
// which floor, and that every room says what it is for.
package gatehouse_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// floors names every room and its floor (docs/architecture.md). An import may
// only go to a lower floor, or from a sub-package to its parent; a sub-package
// stands on its parent's floor.
var floors = map[string]int{
	"identity":           0,
	"internal/fault":     0,
	"internal/words":     0,
	"configs":            1,
	"internal/store":     1,
	"internal/cluster":   1,
	"internal/keys":      1,
	"internal/httpkit":   1,
	"internal/telemetry": 1,
	"internal/dnstest":   1,
	"internal/throttle":  1,
	"audit":              2,
	"assertion":          2,
	"sessions":           3,
	"authz":              3,
	"directory":          3,
	"tenants":            3,
	"machines":           3,
	"proxy":              4,
	"authn":              4,
	"scim":               4,
	"webhooks":           4,
	"api":                4,
	"console":            4,
	"gateway":            5,
	"demo":               6, // the harness that runs the gateway in-process
	"cmd/gatehouse":      7,
	"e2e":                7,
	"bench":              7,

	"internal/cluster/record": 2, // over both internal/cluster and internal/store
}

// joins are the imports between a room's own packages that the rule above does
// not cover, each with its reason.
var joins = map[string]string{}

const module = "gatehouse/"

type source struct {
	room, pkg, file string
	syntax          *ast.File
}

func TestImportsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.syntax.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			target, ours := strings.CutPrefix(target, module)
			if !ours || target == s.pkg {
				continue
			}
			room := roomOf(target)
			switch {
			case room == "":
				t.Errorf("%s imports %s, which stands on no floor: name its room in floors", s.file, target)
			case room == s.room:
				// Within a room, sub-packages build on their parent and the parent on
				// internals; the compiler refuses circles.
			case floors[room] >= floors[s.room] && joins[s.pkg+" -> "+target] == "":
				t.Errorf("%s (floor %d) imports %s (floor %d): dependencies run downwards only, so declare the small interface you need and let gateway join them",
					s.file, floors[s.room], target, floors[room])
			}
		}
	}
}

// TestProtocolsBuildOnTheirRoom keeps authn ignorant of its protocols: the
// wiring joins them (docs/architecture.md).
func TestProtocolsBuildOnTheirRoom(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg != "authn" {
			continue
		}
		for _, spec := range s.syntax.Imports {
			if strings.HasPrefix(spec.Path.Value, `"gatehouse/authn/`) {
				t.Errorf("%s imports %s: a sub-package implements its parent, never the reverse", s.file, spec.Path.Value)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.pkg] = documented[s.pkg] || s.syntax.Doc != nil && len(strings.TrimSpace(s.syntax.Doc.Text())) > 60
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment that says what it is for, why it exists and what it must not do", pkg)
		}
	}
}

func roomOf(pkg string) string {
	for p := pkg; p != "." && p != "/"; p = path.Dir(p) {
		if _, ok := floors[p]; ok {
			return p
		}
	}
	return ""
}

// sources parses every non-test Go file. It reads the files itself, because
// the result of the go command would be cached across edits.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "node_modules", "bin", "testdata", "data", "out":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		syntax, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(name))
		room := roomOf(pkg)
		if room == "" {
			t.Errorf("%s stands in no room: name it in floors", name)
			return nil
		}
		all = append(all, source{room: room, pkg: pkg, file: name, syntax: syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < len(floors) {
		t.Fatalf("only %d files found: the walk is broken", len(all))
	}
	return all
}
