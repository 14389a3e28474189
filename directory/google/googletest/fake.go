// Package googletest is a Google Workspace account for tests: it speaks the wire format
// of the Admin SDK Directory API and of Google's token endpoint over real HTTP, checks
// what it is sent as Google does, and misbehaves when it is told to.
//
// It exists because nothing of Google's is there to test against. It must not be used
// but in tests, and knows nothing of the code that it is for.
package googletest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Object is a JSON object of the wire format.
type Object = map[string]any

// Account is one account at Google with a service account that may read it.
type Account struct {
	URL      string // of the API
	TokenURL string
	Admin    string // the one admin who may read it
	Customer string
	// PageSize is how much is on a page at most, whatever is asked for.
	PageSize int
	// Foreign are people, by their ids, of another domain of the account: hasMember does not
	// tell of them.
	Foreign map[string]bool
	// Now is Google's clock.
	Now func() time.Time

	private *rsa.PrivateKey

	mu      sync.Mutex
	users   []Object
	groups  []Object
	members map[string][]Object // by the group's id
	granted map[string]bool     // access tokens that are good
	// delegated and keyDeleted are what an admin has set up at Google.
	delegated, keyDeleted bool
	failures              []Failure
	before                func(path string)                     // a request is answered
	mangle                func(path string, body []byte) []byte // what is answered
	asked                 []string
}

// Failure is how a request fails.
type Failure struct {
	Status     int
	Reason     string
	RetryAfter string
	// Foreign is whether somebody on the way answers, with a page of their own.
	Foreign bool
}

// key is made once: that takes a while.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// New starts an account without people. Close the server by closing.
func New() (account *Account, closing func()) {
	a := &Account{Admin: "admin@acme.example", Customer: "C0acme", PageSize: 200, Now: time.Now, private: key(), members: map[string][]Object{}, granted: map[string]bool{}, delegated: true}
	server := httptest.NewServer(a)
	a.URL, a.TokenURL = server.URL, server.URL+"/token"
	return a, server.Close
}

// Key is the file of the service account's key.
func (a *Account) Key() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(a.private)
	if err != nil {
		panic(err)
	}
	file, err := json.Marshal(Object{"type": "service_account", "project_id": "acme", "private_key_id": "k1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "reader@acme.iam.gserviceaccount.com", "client_id": "1234567890", "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": a.TokenURL})
	if err != nil {
		panic(err)
	}
	return file
}

// change does something while no request is answered.
func (a *Account) change(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
}

// SetUser adds a person, or changes what is named of them.
func (a *Account) SetUser(id, email string, more Object) {
	a.change(func() {
		u := find(a.users, "id", id)
		if u == nil {
			u = Object{"kind": "admin#directory#user", "id": id, "customerId": a.Customer, "suspended": false, "archived": false, "orgUnitPath": "/",
				"name":   Object{"givenName": "Given", "familyName": id, "fullName": "Given " + id},
				"emails": []Object{{"address": email, "primary": true}}, "isMailboxSetup": true, "isAdmin": false, "creationTime": "2024-01-01T00:00:00.000Z"}
			a.users = append(a.users, u)
		}
		u["primaryEmail"] = email
		for name, v := range more {
			u[name] = v
		}
		slices.SortFunc(a.users, func(x, y Object) int { return strings.Compare(text(x, "primaryEmail"), text(y, "primaryEmail")) })
	})
}

// DeleteUser takes a person away, from all groups too.
func (a *Account) DeleteUser(id string) {
	a.change(func() {
		a.users = slices.DeleteFunc(a.users, func(u Object) bool { return u["id"] == id })
		for g, members := range a.members {
			a.members[g] = slices.DeleteFunc(members, func(m Object) bool { return m["id"] == id })
			find(a.groups, "id", g)["directMembersCount"] = strconv.Itoa(len(a.members[g]))
		}
	})
}

// SetGroup adds or changes a group, and who is in it by themselves: ids of people and
// groups, or "*" for everybody.
func (a *Account) SetGroup(id, email, name string, members ...string) {
	a.change(func() {
		g := find(a.groups, "id", id)
		if g == nil {
			g = Object{"kind": "admin#directory#group", "id": id}
			a.groups = append(a.groups, g)
		}
		g["email"], g["name"], g["directMembersCount"] = email, name, strconv.Itoa(len(members))
		list := []Object{}
		for _, m := range members {
			kind := "USER"
			if m == "*" {
				m, kind = a.Customer, "CUSTOMER"
			} else if find(a.groups, "id", m) != nil {
				kind = "GROUP"
			}
			list = append(list, Object{"kind": "admin#directory#member", "id": m, "role": "MEMBER", "type": kind, "status": "ACTIVE"})
		}
		a.members[id] = list
	})
}

// DeleteGroup takes a group away.
func (a *Account) DeleteGroup(id string) {
	a.change(func() {
		a.groups = slices.DeleteFunc(a.groups, func(g Object) bool { return g["id"] == id })
		delete(a.members, id)
	})
}

// Fail has the next requests of the API fail, each in its way.
func (a *Account) Fail(next ...Failure) { a.change(func() { a.failures = next }) }

// Before is called before each request of the API, when nothing is held; nil: not any more.
func (a *Account) Before(do func(path string)) { a.change(func() { a.before = do }) }

// Mangle changes what is answered by the API; nil: not any more.
func (a *Account) Mangle(do func(path string, body []byte) []byte) {
	a.change(func() { a.mangle = do })
}

// Delegate says whether the service account may act for the admin, and DeleteKey takes its
// key away. Both make the tokens that were granted worthless.
func (a *Account) Delegate(may bool) {
	a.change(func() { a.delegated = may; clear(a.granted) })
}

// DeleteKey is the key's end.
func (a *Account) DeleteKey() { a.change(func() { a.keyDeleted = true; clear(a.granted) }) }

// Revoke makes the access tokens that were granted worthless.
func (a *Account) Revoke() { a.change(func() { clear(a.granted) }) }

// Asked gives the paths that were asked for since the last time.
func (a *Account) Asked() (paths []string) {
	a.change(func() { paths, a.asked = a.asked, nil })
	return paths
}

// ServeHTTP implements [http.Handler].
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		a.grant(w, r)
		return
	}
	var before func(string)
	a.change(func() { before = a.before; a.asked = append(a.asked, r.URL.Path) })
	if before != nil {
		before(r.URL.Path)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case len(a.failures) > 0:
		f := a.failures[0]
		if a.failures = a.failures[1:]; f.Status != 0 {
			if f.RetryAfter != "" {
				w.Header().Set("Retry-After", f.RetryAfter)
			}
			if f.Foreign {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(f.Status)
				_, _ = w.Write([]byte("<html><h1>" + f.Reason + "</h1>"))
				return
			}
			refuse(w, f.Status, f.Reason)
			return
		}
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "httpMethodNotAllowed")
		return
	}
	if !a.granted[bearer] {
		refuse(w, http.StatusUnauthorized, "authError")
		return
	}
	answer, status := a.answer(r)
	if status != http.StatusOK {
		refuse(w, status, map[int]string{404: "notFound", 400: "invalid"}[status])
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	if a.mangle != nil {
		body = a.mangle(r.URL.Path, body)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(body)
}

// grant is the token endpoint (RFC 7523).
func (a *Account) grant(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	no := func(code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(map[bool]int{true: 401, false: 400}[code == "unauthorized_client"])
		_ = json.NewEncoder(w).Encode(Object{"error": code, "error_description": "As it says."})
	}
	if r.Method != http.MethodPost || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		no("unsupported_grant_type")
		return
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(r.FormValue("assertion"), claims, func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != "k1" || a.keyDeleted {
			return nil, jwt.ErrTokenUnverifiable
		}
		return &a.private.PublicKey, nil
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(a.TokenURL), jwt.WithIssuer("reader@acme.iam.gserviceaccount.com"), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(a.Now))
	scope, _ := claims["scope"].(string)
	switch {
	case err != nil, claims["sub"] != a.Admin:
		no("invalid_grant")
	case !a.delegated, !slices.Equal(strings.Fields(scope), []string{
		"https://www.googleapis.com/auth/admin.directory.user.readonly", "https://www.googleapis.com/auth/admin.directory.group.readonly", "https://www.googleapis.com/auth/admin.directory.group.member.readonly"}):
		no("unauthorized_client")
	default:
		token := "ya29." + rand.Text()
		a.granted[token] = true
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Object{"access_token": token, "token_type": "Bearer", "expires_in": 3599})
	}
}

func (a *Account) answer(r *http.Request) (any, int) {
	path, _ := strings.CutPrefix(r.URL.Path, "/admin/directory/v1/")
	parts := strings.Split(path, "/")
	query := r.URL.Query()
	mine := query.Get("customer") == "my_customer" || query.Get("customer") == a.Customer
	switch {
	case path == "users" && mine:
		return a.page(query.Get("pageToken"), query.Get("maxResults"), 500, "users", a.users)
	case path == "groups" && mine:
		return a.page(query.Get("pageToken"), query.Get("maxResults"), 200, "groups", a.groups)
	case path == "users" || path == "groups":
		return nil, http.StatusBadRequest
	case len(parts) == 2 && parts[0] == "users":
		if u := find(a.users, "id", parts[1]); u != nil {
			return only(etagged(u), query.Get("fields")), http.StatusOK
		}
	case len(parts) == 2 && parts[0] == "groups":
		if g := a.group(parts[1]); g != nil {
			return only(etagged(g), query.Get("fields")), http.StatusOK
		}
	case len(parts) == 3 && parts[0] == "groups" && parts[2] == "members":
		if g := a.group(parts[1]); g != nil {
			return a.page(query.Get("pageToken"), query.Get("maxResults"), 200, "members", a.members[text(g, "id")])
		}
	case len(parts) == 4 && parts[0] == "groups" && parts[2] == "hasMember":
		g, u := a.group(parts[1]), find(a.users, "id", parts[3])
		switch {
		case g == nil:
			return nil, http.StatusNotFound
		case u == nil || a.Foreign[parts[3]]:
			return nil, http.StatusBadRequest
		}
		return Object{"isMember": a.within(text(g, "id"), parts[3], map[string]bool{})}, http.StatusOK
	}
	return nil, http.StatusNotFound
}

// within reports whether somebody is in a group, by themselves or through another one.
func (a *Account) within(group, id string, seen map[string]bool) bool {
	if seen[group] {
		return false
	}
	seen[group] = true
	return slices.ContainsFunc(a.members[group], func(m Object) bool {
		return m["id"] == id || m["type"] == "CUSTOMER" || m["type"] == "GROUP" && a.within(text(m, "id"), id, seen)
	})
}

// group finds one by id or address.
func (a *Account) group(key string) Object {
	if g := find(a.groups, "id", key); g != nil {
		return g
	}
	return find(a.groups, "email", key)
}

// page cuts a list. A token is the number of what came before: whoever is deleted in the
// meantime makes somebody be passed over, as may happen at Google.
func (a *Account) page(token, size string, most int, name string, all []Object) (any, int) {
	start, count := 0, most
	if token != "" {
		var err error
		if start, err = strconv.Atoi(token); err != nil {
			return nil, http.StatusBadRequest
		}
	}
	if n, err := strconv.Atoi(size); err == nil {
		count = min(n, most)
	}
	start = min(start, len(all))
	end := min(start+min(count, a.PageSize), len(all))
	answer := Object{"kind": "admin#directory#" + name}
	if end > start { // Google leaves an empty list out
		items := make([]Object, 0, end-start)
		for _, o := range all[start:end] {
			items = append(items, etagged(o))
		}
		answer[name] = items
	}
	if end < len(all) {
		answer["nextPageToken"] = strconv.Itoa(end)
	}
	return etagged(answer), http.StatusOK
}

// only leaves what was asked for.
func only(o Object, fields string) Object {
	asked := strings.Split(fields, ",")
	for name := range o {
		if fields != "" && !slices.Contains(asked, name) {
			delete(o, name)
		}
	}
	return o
}

func etagged(o Object) Object {
	c := Object{}
	for name, v := range o {
		c[name] = v
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(text)
	c["etag"] = fmt.Sprintf("%q", hex.EncodeToString(sum[:8]))
	return c
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Object{"error": Object{"code": status, "message": "As it says.", "errors": []Object{{"message": "As it says.", "domain": "global", "reason": reason}}}})
}

func find(in []Object, name, value string) Object {
	for _, o := range in {
		if o[name] == value {
			return o
		}
	}
	return nil
}

func text(o Object, name string) string {
	s, _ := o[name].(string)
	return s
}
