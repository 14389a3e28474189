package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/demo"
	"gatehouse/directory/google/googletest"
)

// acmeOnly is in the name of everything that the test makes in acme.
const acmeOnly = "acmeonly"

// apiOperation is one of the admin API, as its document tells of it.
type apiOperation struct{ id, method, path string }

// resource is the part of its path up to the first thing that is named; "": nothing is.
func (o apiOperation) resource() string {
	_, behind, _ := strings.Cut(o.path, "}")
	if path := strings.TrimSuffix(o.path, behind); strings.HasSuffix(path, "}") {
		return path
	}
	return ""
}

func apiOperations(t *testing.T, info demo.Info) (all []apiOperation) {
	t.Helper()
	status, text := at(t, info, "acme", http.MethodGet, ".gatehouse/api/openapi.json", "")
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, text)
	}
	for path, methods := range decode[struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}](t, text).Paths {
		for method, raw := range methods {
			var of struct {
				ID string `json:"operationId"`
			}
			if json.Unmarshal(raw, &of) == nil && of.ID != "" {
				all = append(all, apiOperation{of.ID, strings.ToUpper(method), strings.TrimPrefix(path, "/v1/")})
			}
		}
	}
	if len(all) < 80 {
		t.Fatalf("only %d operations", len(all))
	}
	return all
}

// acmesResources makes one of every kind of resource in acme, and gives what each is
// named by in the admin API.
func acmesResources(t *testing.T, info demo.Info) map[string]string {
	t.Helper()
	signedIn(t, info, "acme", member)
	call := func(method, path, body string) []byte {
		t.Helper()
		status, text := at(t, info, "acme", method, v1+path, body)
		if status >= http.StatusBadRequest {
			t.Fatalf("%s %s: %d: %s", method, path, status, text)
		}
		return text
	}
	account, leave := googletest.New() // for its key: nothing is read while it is paused
	t.Cleanup(leave)
	key := bytes.ReplaceAll(account.Key(), []byte(account.TokenURL), []byte("https://oauth2.googleapis.com/token"))
	quoted, err := json.Marshal(string(key))
	if err != nil {
		t.Fatal(err)
	}
	call(http.MethodPut, "settings", `{"display_name":"`+acmeOnly+`","scim":{"retain":"720h","schemas":[{"urn":"urn:ietf:params:scim:schemas:extension:`+acmeOnly+`:2.0:User","name":"`+acmeOnly+`","attributes":[{"name":"site","type":"string"}]}]}}`)
	call(http.MethodPut, "directory/google", `{"admin":"admin@`+acmeOnly+`.example","key":`+string(quoted)+`,"paused":true}`)
	call(http.MethodPut, "webhooks/"+acmeOnly, `{"url":"https://`+acmeOnly+`.example/x","enabled":false}`)
	call(http.MethodPut, "roles/"+acmeOnly, `{"permissions":["alerts:read"]}`)
	call(http.MethodPut, "connections/"+acmeOnly, `{"type":"oidc","issuer":"https://`+acmeOnly+`.example","client_id":"x","enabled":false,"allowed_domains":["`+acmeOnly+`.example"]}`)
	call(http.MethodPut, "domains/"+acmeOnly+".example", `{"connection":"`+acmeOnly+`"}`)
	call(http.MethodPut, "services/"+acmeOnly, `{"role":"viewer","credentials":[{"jwt":{"issuer":"https://`+acmeOnly+`.example","audience":"app","client_id":"billing"}}]}`)
	call(http.MethodPost, "setup-links", `{"connection":"`+acmeOnly+`-new","default_role":"member"}`)
	call(http.MethodPost, "local-accounts", `{"email":"glass@`+acmeOnly+`.example"}`)
	scim := func(method, path, body string, want int) []byte {
		t.Helper()
		acme := info.Tenants["acme"]
		resp, text := do(t, plainClient(t, info, 2), request(t, method, acme.SCIM+path, body, "Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %d: %s", method, path, resp.StatusCode, text)
		}
		return text
	}
	scim(http.MethodPost, "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"`+acmeOnly+`"}`, http.StatusCreated)
	gone := decode[struct{ ID string }](t, scim(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"gone@`+acmeOnly+`.example"}`, http.StatusCreated)).ID
	scim(http.MethodDelete, "/Users/"+gone, "", http.StatusNoContent)

	named := map[string]string{"connections/{name}": acmeOnly, "webhooks/{name}": acmeOnly, "roles/{name}": acmeOnly, "services/{name}": acmeOnly,
		"domains/{name}": acmeOnly + ".example", "platform/tenants/{name}": "acme"}
	for _, list := range []string{"sessions", "devices", "users", "groups", "teams", "tokens", "assignments", "audit/events", "former-users", "local-accounts", "setup-links", "scim/requests"} {
		// What a client has sent is kept soon after the answer.
		soon(t, "acme has one of "+list, func() bool {
			var all []string
			for _, item := range decode[struct {
				Items []struct {
					ID   string `json:"id"`
					User string `json:"user_id"`
				}
			}](t, call(http.MethodGet, list, "")).Items {
				all = append(all, cmp.Or(item.ID, item.User)) // a local account is named by whose it is
			}
			named[list+"/{id}"] = strings.Join(all[:min(1, len(all))], "")
			return named[list+"/{id}"] != ""
		})
	}
	named["me/sessions/{id}"], named["me/devices/{id}"] = named["sessions/{id}"], named["devices/{id}"]
	return named
}

// makesItsOwn are operations that name what is to be there: another tenant's is not meant.
func (o apiOperation) makesItsOwn() bool {
	return o.method == http.MethodPut && strings.HasSuffix(o.path, "/{name}") || o.id == "check-connection"
}

// leastBody is the least that an operation takes, where that is not {}.
var leastBody = map[string]string{
	"change-device": `{"name":"x"}`, "change-my-device": `{"name":"x"}`, "change-user": `{"active":false}`, "change-group": `{"name":"x"}`,
	"change-group-members": `{"add":[{"user":"` + owner + `"}]}`, "change-team": `{"display_name":"x"}`, "change-tenant": `{"display_name":"x"}`,
	"link-identity": `{"connection":"saml","subject":"x"}`,
}

// TestP3_EveryResourceOfTheAPIIsItsTenants goes through the document of the admin API:
// what one tenant has is neither shown to another, nor there for it by its name. A kind of
// resource that the test has none of fails it.
func TestP3_EveryResourceOfTheAPIIsItsTenants(t *testing.T) {
	info := inProcess(t).Info()
	named, operations := acmesResources(t, info), apiOperations(t, info)
	var secrets []string
	for resource, name := range named {
		if name != "acme" {
			secrets = append(secrets, name)
		}
		if !slices.ContainsFunc(operations, func(o apiOperation) bool { return o.resource() == resource }) {
			t.Errorf("the API has no %s any more", resource)
		}
	}
	globex, guest := info.Tenants["globex"], signedIn(t, info, "globex", info.Tenants["globex"].Users[0].Email)
	// by asks with a token, or as somebody who is signed in where it is about themselves.
	by := func(tenant string, o apiOperation, path, body string) (int, []byte) {
		if tenant != "globex" || !strings.HasPrefix(path, "me/") {
			return at(t, info, tenant, o.method, v1+path, body)
		}
		resp, text := do(t, guest, request(t, o.method, globex.URL+v1+path, body))
		return resp.StatusCode, text
	}
	silent := func(what string, text []byte) {
		t.Helper()
		for _, secret := range append(secrets, acmeOnly) {
			if strings.Contains(string(text), secret) {
				t.Errorf("globex is told of acme's %s by %s: %s", secret, what, text)
			}
		}
	}
	for _, o := range operations {
		if o.method != http.MethodGet || strings.Contains(o.path, "{") || o.path == "audit/stream" {
			continue
		}
		query := map[string]string{"directory/changes": "?from=now"}[o.path]
		status, text := by("globex", o, o.path+query, "")
		silent(o.path, text)
		if status != http.StatusOK && !strings.HasPrefix(o.path, "platform/") && o.path != "directory/google" {
			t.Errorf("globex, its own %s: %d: %s", o.path, status, text)
		}
	}
	for _, path := range []string{"/Schemas", "/Schemas/" + url.PathEscape("urn:ietf:params:scim:schemas:extension:"+acmeOnly+":2.0:User"), "/ResourceTypes", "/Users", "/Groups"} {
		resp, text := get(t, plainClient(t, info, 2), globex.SCIM+path, "Authorization", "Bearer "+globex.SCIMToken)
		if there := strings.HasPrefix(path, "/Schemas/"); there == (resp.StatusCode == http.StatusOK) {
			t.Errorf("globex by SCIM, %s: %s", path, resp.Status)
		} else if !there {
			silent("SCIM's "+path, text)
		}
	}

	before := map[string]string{}
	for resource, name := range named {
		if status, text := at(t, info, "acme", http.MethodGet, v1+calledBy(resource, resource, name), ""); status == http.StatusOK {
			before[resource] = string(text)
		}
	}
	for _, o := range operations {
		resource := o.resource()
		if resource == "" || o.makesItsOwn() {
			continue
		}
		name, ok := named[resource]
		if !ok {
			t.Errorf("%s: this test has no %s of acme's", o.id, resource)
			continue
		}
		body := leastBody[o.id]
		if body == "" && o.method != http.MethodGet && o.method != http.MethodDelete {
			body = "{}"
		}
		path := calledBy(o.path, resource, name)
		if o.id == "unlink-identity" {
			path += "?connection=oidc&subject=x"
		}
		if status, text := by("globex", o, path, body); status != http.StatusNotFound {
			t.Errorf("globex, %s (%s %s): %d: %s", o.id, o.method, path, status, text)
		}
	}
	for resource, was := range before {
		if _, text := at(t, info, "acme", http.MethodGet, v1+calledBy(resource, resource, named[resource]), ""); string(text) != was {
			t.Errorf("acme's %s was %s and is %s", resource, was, text)
		}
	}
	for _, list := range []string{"sessions", "devices", "assignments", "local-accounts", "setup-links", "tokens"} {
		if _, text := at(t, info, "acme", http.MethodGet, v1+list+"?limit=100", ""); !strings.Contains(string(text), named[list+"/{id}"]) {
			t.Errorf("acme's %s are %s", list, text)
		}
	}
}

// calledBy is a path below a resource such as "users/{id}", of the one that has this name.
func calledBy(path, resource, name string) string {
	_, placeholder, _ := strings.Cut(resource, "{")
	return strings.Replace(path, "{"+placeholder, name, 1)
}
