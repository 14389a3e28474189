// Package transmittertest runs a transmitter of security events for tests: it
// publishes its configuration and keys, pushes (RFC 8935), and keeps what is
// fetched until it is acknowledged (RFC 8936).
//
// It exists because what a receiver does of a transmitter's faults can only be
// shown with one that has them. It speaks HTTP as a real one does, and it must
// not be imported by anything but tests.
package transmittertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The families of events.
const (
	CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
	RISC = "https://schemas.openid.net/secevent/risc/event-type/"
	SSF  = "https://schemas.openid.net/secevent/ssf/event-type/"
)

const (
	keyID = "t1"
	// holds is how long a poll is kept waiting that need not be answered at once.
	holds = 20 * time.Second
)

// Transmitter is a running transmitter, ended with the test. Its URL is its issuer.
type Transmitter struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	key     *ecdsa.PrivateKey
	configs func(map[string]any) // changes the configuration
	token   string               // that polls must carry
	instead http.HandlerFunc     // answers polls, if there is one
	queue   []queued
	told    map[string]json.RawMessage // what the receiver said of tokens: null is an acknowledgement
	polls   []Poll
	waiting int // polls that wait at this moment
	most    int // of them at once
	changed chan struct{}
}

type queued struct{ id, token string }

// Poll is one that was asked (RFC 8936 §2.2).
type Poll struct {
	MaxEvents         *int                       `json:"maxEvents"`
	ReturnImmediately bool                       `json:"returnImmediately"`
	Ack               []string                   `json:"ack"`
	SetErrs           map[string]json.RawMessage `json:"setErrs"`
}

// New starts a transmitter.
func New(t testing.TB) *Transmitter {
	t.Helper()
	x := &Transmitter{t: t, told: map[string]json.RawMessage{}, changed: make(chan struct{})}
	x.RollKey()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/ssf-configuration", x.configuration)
	mux.HandleFunc("GET /jwks", x.jwks)
	mux.HandleFunc("POST /poll", x.poll)
	x.Server = httptest.NewServer(mux)
	t.Cleanup(x.Close)
	return x
}

// RollKey has what is signed from now on be signed with a new key, which is the
// one that is published.
func (x *Transmitter) RollKey() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		x.t.Fatal(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.key = key
}

// Configure changes what the transmitter says of itself.
func (x *Transmitter) Configure(change func(map[string]any)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.configs = change
}

func (x *Transmitter) configuration(w http.ResponseWriter, _ *http.Request) {
	said := map[string]any{"spec_version": "1_0", "issuer": x.URL, "jwks_uri": x.URL + "/jwks",
		"delivery_methods_supported": []string{"urn:ietf:rfc:8935", "urn:ietf:rfc:8936"}}
	x.mu.Lock()
	if x.configs != nil {
		x.configs(said)
	}
	x.mu.Unlock()
	reply(w, said)
}

func (x *Transmitter) jwks(w http.ResponseWriter, _ *http.Request) {
	x.mu.Lock()
	key := x.key
	x.mu.Unlock()
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	reply(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "kid": keyID, "alg": "ES256", "use": "sig",
		"x": b64(point[1:33]), "y": b64(point[33:])}}})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// Event is a token about one event, as it should be.
func (x *Transmitter) Event(audience, event string, about, subject map[string]any) (*jwt.Token, string) {
	id := rand.Text()
	if about == nil {
		about = map[string]any{}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": x.URL, "aud": audience, "iat": time.Now().Unix(), "jti": id,
		"sub_id": subject, "events": map[string]any{event: about}})
	token.Header["kid"], token.Header["typ"] = keyID, "secevent+jwt"
	return token, id
}

// Sign signs a token with the transmitter's key.
func (x *Transmitter) Sign(token *jwt.Token) string {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	raw, err := token.SignedString(x.key)
	if err != nil {
		x.t.Fatal(err)
	}
	return raw
}

// SignRaw signs a payload as it stands.
func (x *Transmitter) SignRaw(payload string) string {
	x.t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	what := b64([]byte(`{"alg":"ES256","kid":"`+keyID+`","typ":"secevent+jwt"}`)) + "." + b64([]byte(payload))
	x.mu.Lock()
	defer x.mu.Unlock()
	signature, err := jwt.SigningMethodES256.Sign(what, x.key)
	if err != nil {
		x.t.Fatal(err)
	}
	return what + "." + b64(signature)
}

// Answer is what a receiver says to a push.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Push pushes a token (RFC 8935 §2.1); header has the fields that differ from
// what they should be.
func (x *Transmitter) Push(client *http.Client, address, token string, header http.Header) Answer {
	x.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address, strings.NewReader(token))
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Accept", "application/json")
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it is read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(body)}
}

// Queue keeps a token to be fetched, until the receiver has said something of it.
func (x *Transmitter) Queue(id, token string) {
	x.change(func() { x.queue = append(x.queue, queued{id, token}) })
}

// Expect has polls need a bearer token.
func (x *Transmitter) Expect(token string) { x.change(func() { x.token = token }) }

// Instead has polls be answered otherwise; nil: as they should be.
func (x *Transmitter) Instead(answer http.HandlerFunc) { x.change(func() { x.instead = answer }) }

func (x *Transmitter) change(do func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	do()
	close(x.changed)
	x.changed = make(chan struct{})
}

// Told gives what the receiver said of tokens, by their ids: "ack", or the code
// of an error.
func (x *Transmitter) Told() map[string]string {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := map[string]string{}
	for id, said := range x.told {
		var fault struct {
			Code        string `json:"err"`
			Description string `json:"description"`
		}
		if said == nil {
			all[id] = "ack"
		} else if json.Unmarshal(said, &fault) == nil && fault.Description != "" {
			all[id] = fault.Code
		}
	}
	return all
}

// Polls gives what was asked so far, and how many waited at once at most.
func (x *Transmitter) Polls() (all []Poll, most int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.polls), x.most
}

// Waiting is how many polls are under way.
func (x *Transmitter) Waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waiting
}

func (x *Transmitter) poll(w http.ResponseWriter, r *http.Request) {
	var p Poll
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x.mu.Lock()
	x.polls = append(x.polls, p)
	x.waiting++
	x.most = max(x.most, x.waiting)
	instead, token := x.instead, x.token
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.waiting--
	}()
	if instead != nil {
		instead(w, r)
		return
	}
	if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	x.hear(p)
	sets, more := x.waitFor(r.Context(), p)
	reply(w, map[string]any{"sets": sets, "moreAvailable": more})
}

// hear lets go of what the receiver has said something of.
func (x *Transmitter) hear(p Poll) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range p.Ack {
		x.told[id] = nil
	}
	maps.Copy(x.told, p.SetErrs)
	x.queue = slices.DeleteFunc(x.queue, func(q queued) bool { _, told := x.told[q.id]; return told })
}

// waitFor gives what there is, once there is something.
func (x *Transmitter) waitFor(ctx context.Context, p Poll) (sets map[string]string, more bool) {
	enough := time.NewTimer(holds)
	defer enough.Stop()
	for {
		x.mu.Lock()
		sets, changed := map[string]string{}, x.changed
		for _, q := range x.queue {
			if p.MaxEvents == nil || len(sets) < *p.MaxEvents {
				sets[q.id] = q.token
			}
		}
		more = len(x.queue) > len(sets)
		x.mu.Unlock()
		if len(sets) > 0 || p.ReturnImmediately {
			return sets, more
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return sets, false
		case <-enough.C:
			return sets, false // {}, not null (RFC 8936 §2.3)
		}
	}
}
