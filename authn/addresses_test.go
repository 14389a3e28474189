package authn_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mounted reads from the source of a package which patterns it gives to a
// [http.ServeMux]: a mux does not tell. Besides constants of the package, a pattern
// may be made of what a loop runs over.
func mounted(t *testing.T, dir string, imported map[string]string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	check(t, err)
	var files []*ast.File
	constants := map[string]string{}
	maps.Copy(constants, imported)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name) // which is noticed where results are cached
		check(t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
		check(t, err)
		files = append(files, file)
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				for i, value := range spec.Values {
					if text, ok := literal(value); ok {
						constants[spec.Names[i].Name] = text
					}
				}
			}
			return true
		})
	}
	var patterns []string
	for _, file := range files {
		loops := map[string][]ast.Expr{} // what a loop's variable may be
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.RangeStmt:
				over, ok := n.X.(*ast.CompositeLit)
				key, named := n.Key.(*ast.Ident)
				if !ok || !named {
					return true
				}
				for _, element := range over.Elts {
					if pair, ok := element.(*ast.KeyValueExpr); ok {
						loops[key.Name] = append(loops[key.Name], pair.Key)
					}
				}
			case *ast.CallExpr:
				method, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || method.Sel.Name != "Handle" && method.Sel.Name != "HandleFunc" || len(n.Args) != 2 {
					return true
				}
				patterns = append(patterns, texts(t, n.Args[0], constants, loops)...)
			}
			return true
		})
	}
	slices.Sort(patterns)
	return patterns
}

func literal(e ast.Expr) (string, bool) {
	basic, ok := e.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}

// texts are what an expression may be.
func texts(t *testing.T, e ast.Expr, constants map[string]string, loops map[string][]ast.Expr) (all []string) {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, ok := literal(e); ok {
			return []string{text}
		}
	case *ast.Ident:
		if text, ok := constants[e.Name]; ok {
			return []string{text}
		}
		for _, value := range loops[e.Name] {
			all = append(all, texts(t, value, constants, loops)...)
		}
		if all != nil {
			return all
		}
	case *ast.SelectorExpr:
		if of, ok := e.X.(*ast.Ident); ok {
			if text, ok := constants[of.Name+"."+e.Sel.Name]; ok {
				return []string{text}
			}
		}
	case *ast.BinaryExpr:
		for _, left := range texts(t, e.X, constants, loops) {
			for _, right := range texts(t, e.Y, constants, loops) {
				all = append(all, left+right)
			}
		}
		return all
	}
	t.Fatalf("a pattern that this test cannot read: %T", e)
	return nil
}
