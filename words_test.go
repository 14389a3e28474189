package gatehouse_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"gatehouse/internal/words"
)

// unread are the packages and files whose sentences no page of ours shows, by the
// reason; they stay English. Everywhere else whatever looks like a sentence is
// translated, so that nothing can be forgotten.
var unread = map[string][]string{
	"programs, providers or the console read what they say": {
		"api", "scim", "machines", "authn/machine", "authn/token", "authn/signals", "authn/signals.go", "authn/machines.go", "authn/device_flow.go",
		"authn/oauth.go", "authn/client_credentials.go", "authn/backchannel.go", "authn/oidc/backchannel.go", "directory/brake", "directory/feed", "directory/google", "directory/leaving.go", "webhooks",
	},
	"only the API does this, and answers programs and the console": {
		"audit/access.go", "audit/export.go", "audit/search.go", "authn/keyring/roll.go", "authz/assign.go", "authz/change.go",
		"authz/grant.go", "authz/permission.go", "authz/role.go", "authz/roles.go", "directory/attributes.go", "directory/filter.go", "directory/former.go", "directory/groups.go", "directory/load.go", "directory/memberplan.go", "directory/members.go", "directory/nesting.go", "directory/order.go",
		"directory/teams.go", "directory/users.go", "sessions/list.go", "sessions/revoke.go", "tenants/check.go", "tenants/domains.go", "tenants/image.go",
		"tenants/scim.go", "tenants/scimschema.go", "tenants/secondfactor.go", "tenants/service.go", "tenants/settings.go", "tenants/signals.go",
	},
	"the journal tells it; a page says what to do": {
		"audit/index.go", "audit/recover.go", "audit/refusals.go", "authn/oidc/recheck.go", "authn/recheck.go", "authn/saml/logout.go",
		"authz/engine.go", "directory/marks.go", "directory/service.go", "gateway/gateway.go", "gateway/reload.go", "sessions/orphans.go", "sessions/unsettled.go",
	},
	"operators read what they say": {
		"authn/saml/watch.go", "cmd", "configs", "gateway/alerts.go", "gateway/conditions.go", "gateway/health.go", "gateway/metrics.go",
	},
	"names of products, in certificates or for an app": {
		"proxy/ca", "proxy/upstream/head.go", "sessions/clienthints.go", "sessions/useragent.go",
	},
	"only tests and measurements use them": {
		"directory/google/googletest", "authn/oauth2/oauth2test", "authn/saml/attacktest", "authn/saml/simplesamltest", "bench", "demo", "internal/cluster/clustertest",
		"internal/cluster/model", "internal/cluster/redistest", "internal/store/postgrestest", "sessions/sessiontest",
	},
}

// notSaid are texts that look like sentences, and are none that a person reads.
var notSaid = map[string]string{
	"Sec-CH-UA-Platform-Version, Sec-CH-UA-Model": "a header",
	"Gatehouse SAML":                          "a name in certificates",
	"Bearer ":                                 "a header",
	"Bearer realm=\"gatehouse\"":              "a header",
	"More recent authentication is required":  "a header",
	"A more recent second factor is required": "a header",
	"Redis was not asked for a session":       "a log line",
}

// TestEverySentenceIsTranslated walks the code and the templates of our pages, and
// fails for a sentence that a language has no translation of, one that says something
// else, and a translation that nothing needs.
func TestEverySentenceIsTranslated(t *testing.T) {
	needed := map[string]string{} // where, by sentence
	for _, s := range sources(t) {
		if exempt(s.file) {
			continue
		}
		w := walk{t: t, file: s.file, needed: needed}
		ast.Inspect(s.syntax, w.visit)
	}
	templates(t, needed)
	for _, month := range []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"} {
		needed[month] = "the months"
	}
	if len(needed) < 300 {
		t.Fatalf("only %d sentences found: the walk is broken", len(needed))
	}
	for _, l := range words.Spoken()[1:] {
		for sentence, where := range needed {
			translation, ok := l.Translation(sentence)
			if !ok {
				t.Errorf("%s: %s has no translation of %q: add it to internal/words/%[2]s", where, l.Tag(), sentence)
				continue
			}
			if a, b := verbs(sentence), verbs(translation); !slices.Equal(a, b) {
				t.Errorf("%s says %q with other values (%v) than %q (%v)", l.Tag(), translation, b, sentence, a)
			}
		}
		for _, sentence := range l.Keys() {
			if _, ok := needed[sentence]; !ok {
				t.Errorf("%s has a translation of %q, which nothing says any more", l.Tag(), sentence)
			}
		}
	}
}

func exempt(file string) bool {
	for _, places := range unread {
		if slices.ContainsFunc(places, func(p string) bool { return p == file || strings.HasPrefix(file, p+"/") }) {
			return true
		}
	}
	return false
}

// walk collects the sentences of a file.
type walk struct {
	t      *testing.T
	file   string
	needed map[string]string
}

func (w walk) need(e ast.Expr) {
	if text, ok := literal(e); ok {
		w.needed[text] = w.file
	}
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil && text != ""
}

// saying are the functions that take a sentence, and as which argument.
var saying = map[string]int{"Say": 0, "Refuse": 1, "New": 2, "OutOfReach": 2, "Wrap": 3, "invalid": 1, "badConnection": 0, "refused": 0}

func (w walk) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.Field:
		return false // its tag
	case *ast.BasicLit:
		if text, ok := literal(n); ok && looksSaid(text) && notSaid[text] == "" {
			w.needed[text] = w.file
		}
	case *ast.CallExpr:
		w.call(n)
	case *ast.ValueSpec:
		if slices.Contains([]string{"question", "word"}, name(n.Type)) { // that have Parts
			for _, value := range n.Values {
				w.need(value)
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if s, ok := left.(*ast.SelectorExpr); ok && len(n.Rhs) == len(n.Lhs) && (s.Sel.Name == "Title" || s.Sel.Name == "Lead") {
				w.need(n.Rhs[i])
			}
		}
	case *ast.CompositeLit:
		switch name(n.Type) {
		case "httpkit.Page", "Page", "httpkit.Link", "Link", "httpkit.Fact", "Fact", "authn.Mark", "Mark", "fault.Sentence", "Sentence":
			w.texts(n)
		}
	}
	return true
}

// texts are the texts of a page, of a link or of a fact. Those in a list stand without
// their type.
func (w walk) texts(n *ast.CompositeLit) {
	for i, e := range n.Elts {
		field, ok := e.(*ast.KeyValueExpr)
		if inner, listed := e.(*ast.CompositeLit); listed && inner.Type == nil {
			w.texts(inner)
		}
		switch {
		case !ok && i == 0:
			w.need(e)
		case ok:
			if key, ok := field.Key.(*ast.Ident); ok && slices.Contains([]string{"Title", "Lead", "Text", "Name", "Format"}, key.Name) {
				w.need(field.Value)
			}
		}
	}
}

// call checks what is said by a call: all that varies stands in its arguments.
func (w walk) call(n *ast.CallExpr) {
	full := name(n.Fun)
	room, short, _ := cut(full)
	at, ok := saying[short]
	if !ok || len(n.Args) <= at || (short == "New" || short == "Wrap" || short == "OutOfReach") && room != "fault" {
		return
	}
	text, isText := literal(n.Args[at])
	if !isText {
		switch n.Args[at].(type) {
		case *ast.BinaryExpr, *ast.CallExpr:
			if short != "Say" {
				w.t.Errorf("%s: %s puts its sentence together: use a format and arguments, so that it can be translated", w.file, full)
			}
		}
		return
	}
	w.needed[text] = w.file
	if n.Ellipsis.IsValid() {
		return
	}
	want := 0
	for _, v := range verbs(text) {
		var arg int
		_, _ = fmt.Sscanf(v, "%d", &arg)
		want = max(want, arg)
	}
	if got := len(n.Args) - at - 1; got != want {
		w.t.Errorf("%s: %q has %d values, and is given %d", w.file, text, want, got)
	}
}

func cut(full string) (room, short string, ok bool) {
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full[:i], full[i+1:], true
	}
	return "", full, false
}

func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return name(e.X) + "." + e.Sel.Name
	case *ast.ArrayType:
		return name(e.Elt)
	}
	return ""
}

// looksSaid tells a sentence from a name: a capital, a small letter or a blank, and
// several words.
func looksSaid(text string) bool {
	first, size := utf8.DecodeRuneInString(text)
	second, _ := utf8.DecodeRuneInString(text[size:])
	return unicode.IsUpper(first) && (unicode.IsLower(second) || second == ' ') && strings.Contains(text, " ")
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?([-+# 0]*[\d.]*[a-zA-Z%])`)

// verbs are the values that a sentence is given, in the order of the arguments.
func verbs(text string) (all []string) {
	next := 1
	for _, m := range verb.FindAllStringSubmatch(text, -1) {
		if m[2] == "%" {
			continue
		}
		if m[1] != "" {
			next, _ = strconv.Atoi(m[1])
		}
		all = append(all, fmt.Sprintf("%d %s", next, m[2]))
		next++
	}
	slices.Sort(all)
	return all
}

// templates collects what the templates of our pages say, and refuses what they say
// without t.
func templates(t *testing.T, needed map[string]string) {
	var files []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{"console", "demo", "node_modules", "out", ".git"}, entry.Name()) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".html") {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d templates: %v", len(files), err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree := parse.New(file)
		tree.Mode = parse.SkipFuncCheck
		trees := map[string]*parse.Tree{}
		if _, err := tree.Parse(string(source), "", "", trees); err != nil {
			t.Fatal(err)
		}
		for _, part := range trees {
			said := template{t: t, file: file, needed: needed}
			said.node(part.Root)
			said.bare()
		}
	}
}

// template is one of them: what it says by t, and what it would say without.
type template struct {
	t      *testing.T
	file   string
	needed map[string]string
	text   strings.Builder
}

func (p *template) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, each := range n.Nodes {
				p.node(each)
			}
		}
	case *parse.TextNode:
		p.text.Write(n.Text)
	case *parse.ActionNode:
		p.pipe(n.Pipe)
	case *parse.IfNode:
		p.branch(&n.BranchNode)
	case *parse.RangeNode:
		p.branch(&n.BranchNode)
	case *parse.WithNode:
		p.branch(&n.BranchNode)
	}
}

func (p *template) branch(n *parse.BranchNode) {
	p.pipe(n.Pipe)
	p.node(n.List)
	p.node(n.ElseList)
}

func (p *template) pipe(n *parse.PipeNode) {
	for _, c := range n.Cmds {
		for _, arg := range c.Args {
			if inner, ok := arg.(*parse.PipeNode); ok {
				p.pipe(inner)
			}
		}
		if f, ok := c.Args[0].(*parse.IdentifierNode); !ok || f.Ident != "t" {
			continue
		}
		text, ok := c.Args[1].(*parse.StringNode)
		if !ok {
			continue // it stands in the code
		}
		p.needed[text.Text] = p.file
		if want, got := len(verbs(text.Text)), len(c.Args)-2; want != got {
			p.t.Errorf("%s: %q has %d values, and is given %d", p.file, text.Text, want, got)
		}
	}
}

// bare refuses words that stand in the template itself.
func (p *template) bare() {
	refuse := func(text string) {
		if strings.ContainsFunc(text, unicode.IsLetter) {
			p.t.Errorf("%s says %q to everybody: say it by t", p.file, strings.TrimSpace(text))
		}
	}
	z, within := html.NewTokenizer(strings.NewReader(strings.ReplaceAll(p.text.String(), "noscript", "div"))), ""
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		token := z.Token()
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			within = token.Data
			for _, a := range token.Attr {
				if slices.Contains([]string{"alt", "title", "aria-label"}, a.Key) {
					refuse(a.Val)
				}
			}
		case html.TextToken:
			if within != "style" && within != "script" {
				refuse(token.Data)
			}
		}
	}
}
