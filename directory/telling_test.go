package directory

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"gatehouse/audit"
)

// Whatever the journal can say of a person or a group, others are told: a new type of
// record needs a type of change.
func TestEveryRecordOfAPersonOrGroupIsTold(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../audit/event.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil || !strings.HasPrefix(text, "user.") && !strings.HasPrefix(text, "group.") {
			return true
		}
		if found++; changeTypes[audit.Type(text)] == "" && audit.Type(text) != audit.UserErased { // they are told of as deleted
			t.Errorf("nobody is told of %s", text)
		}
		return true
	})
	if found < 8 {
		t.Errorf("there are %d types", found)
	}
}
