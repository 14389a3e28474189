package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/api/resources"
	"gatehouse/tenants"
)

const pages = "../docs"

var (
	block    = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	putCall  = regexp.MustCompile(`(?s)curl -sS -X PUT https://acme\.app\.example\.com/\.gatehouse/api/v1/connections/([a-z0-9-]+) .*-d '(\{.*\})'`)
	shellVar = regexp.MustCompile(`'"\$[A-Z0-9_]+"'`)
	ours     = regexp.MustCompile(`https://acme\.app\.example\.com(/\.gatehouse/(?:oidc|saml|oauth2)/)([a-z0-9-]+)(/[a-z-]+)`)
)

// guided stands for what a reader has: secrets, and files of the provider's.
var guided = resources.Surroundings{
	LookupEnv: func(name string) (string, bool) { return "secret-of-" + name, strings.HasSuffix(name, "_SECRET") },
	ReadFile:  func(string) ([]byte, error) { return []byte("<EntityDescriptor/>"), nil },
}

// TestConnectionsOfTheGuides: every connection that a page shows is kept as it
// stands there, and the call beside it says the same.
func TestConnectionsOfTheGuides(t *testing.T) {
	files, err := filepath.Glob(pages + "/guides/*.md")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d guides, %v", len(files), err)
	}
	for _, file := range append(files, pages+"/oauth2.md") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			h := newHouse(t)
			operator := h.operator("acme")
			kept, called := map[string]tenants.Connection{}, map[string]bool{}
			for _, found := range block.FindAllStringSubmatch(string(text), -1) {
				switch kind, content := found[1], found[2]; {
				case kind == "yaml":
					for name, c := range h.applied(t, content) {
						kept[name] = c
					}
				case strings.HasPrefix(content, "curl "):
					call := putCall.FindStringSubmatch(content)
					if call == nil {
						t.Fatalf("no call of the API: %s", content)
					}
					var spec map[string]any
					if err := json.Unmarshal([]byte(shellVar.ReplaceAllStringFunc(call[2], func(v string) string {
						return "secret-of-" + strings.Trim(v, `'"$`)
					})), &spec); err != nil {
						t.Fatalf("%v: %s", err, call[2])
					}
					operator.do("PUT", "connections/"+call[1], spec).want(http.StatusOK)
					now, err := h.tenants.Connection(t.Context(), h.acme.ID, call[1])
					if err != nil || !now.Same(kept[call[1]]) {
						t.Errorf("the call for %s says something else than its file: %+v, %v", call[1], now, err)
					}
					called[call[1]] = true
				}
			}
			h.addressed(t, string(text), kept)
			if base := filepath.Base(file); base != "README.md" && len(kept) == 0 || base != "README.md" && base != "oauth2.md" && len(called) == 0 {
				t.Errorf("%d connections, %d calls", len(kept), len(called))
			}
		})
	}
}

// applied puts the documents of a file.
func (h *house) applied(t *testing.T, content string) map[string]tenants.Connection {
	t.Helper()
	documents, err := resources.Parse("guide.yaml", []byte(content), guided)
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	kept := map[string]tenants.Connection{}
	for _, d := range documents {
		if d.Kind != resources.KindConnection {
			continue
		}
		if _, result := h.operator("platform").apply([]resources.Document{d}, false); result.Failed {
			t.Errorf("%s: %+v", d.Name, result)
		}
		c, err := h.tenants.Connection(t.Context(), h.acme.ID, d.Name)
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		kept[d.Name] = c
	}
	return kept
}

// addressed checks that our addresses on a page are those of its connections.
func (h *house) addressed(t *testing.T, text string, kept map[string]tenants.Connection) {
	t.Helper()
	served := map[tenants.ConnectionType][]string{
		tenants.OIDC:   {"/callback", "/backchannel-logout", "/frontchannel-logout"},
		tenants.SAML:   {"/acs", "/metadata", "/slo"},
		tenants.OAuth2: {"/callback"},
	}
	for _, at := range ours.FindAllStringSubmatch(text, -1) {
		c, known := kept[at[2]]
		if !known {
			t.Errorf("%s is of no connection on the page: %v", at[0], slices.Sorted(maps.Keys(kept)))
			continue
		}
		if at[1] != "/.gatehouse/"+string(c.Type)+"/" || !slices.Contains(served[c.Type], at[3]) {
			t.Errorf("%s is no address of a connection of the type %s", at[0], c.Type)
		}
	}
}
