package signals

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn/strict"
)

// FuzzToken: nothing but what the transmitter has signed for us is believed, and
// whatever its payload says, it never comes to everybody's sessions.
func FuzzToken(f *testing.F) {
	// The same in every process, so that a token which was found is signed by it when it
	// is tried again.
	raw := sha256.Sum256([]byte("transmitter"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw[:])
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	v := verification{issuer: "https://idp.example", audiences: []string{"gatehouse"}, now: now,
		keys: func(context.Context) (gooidc.KeySet, error) {
			return &gooidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&key.PublicKey}}, nil
		}}
	signed := func(claims jwt.MapClaims) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["typ"] = "secevent+jwt"
		raw, err := token.SignedString(key)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	token := func(event string, about, subject map[string]any) string {
		return signed(jwt.MapClaims{"iss": v.issuer, "aud": "gatehouse", "iat": now.Unix(), "jti": "j", "sub_id": subject, "events": map[string]any{event: about}})
	}
	ann := map[string]any{"format": "iss_sub", "iss": "https://idp.example", "sub": "ann"}
	good := map[string]bool{}
	for _, raw := range []string{
		token(caep+"session-revoked", map[string]any{"event_timestamp": 1}, ann),
		token(caep+"session-revoked", map[string]any{}, map[string]any{"format": "opaque", "id": "s"}),
		token(risc+"account-purged", map[string]any{"subject": ann}, ann),
		token(caep+"credential-change", map[string]any{"change_type": "update"}, map[string]any{"format": "complex", "user": ann, "session": map[string]any{"format": "opaque", "id": "s"}}),
		token(ssf+"verification", map[string]any{"state": "x"}, map[string]any{"format": "opaque", "id": "stream"}),
	} {
		if _, err := v.verify(f.Context(), raw); err != nil {
			f.Fatalf("%v: %s", err, raw)
		}
		good[raw[:strings.LastIndexByte(raw, '.')]] = true
		f.Add(raw, "")
		payload, err := v.open(raw)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, string(payload))
	}
	for _, raw := range []string{"", "..", "e30.e30.", "e30.bnVsbA.AA", token("x", nil, nil), signed(jwt.MapClaims{"iat": -1e300})} {
		f.Add(raw, `{"iss":"https://idp.example","aud":["gatehouse"],"iat":1e300,"jti":"","events":{"":{}}}`)
	}
	f.Fuzz(func(t *testing.T, raw, payload string) {
		if _, err := v.verify(t.Context(), raw); err == nil && !good[raw[:strings.LastIndexByte(raw, '.')]] {
			t.Errorf("believed: %s", raw)
		}
		read, err := v.read([]byte(payload)) // as if it were signed
		if err != nil {
			return
		}
		s, err := read.signal()
		if err != nil {
			return
		}
		if s.ID == "" || !s.Until.After(now) || (s.Ends == "") == (s.Why == "") {
			t.Errorf("%+v of %s", s, payload)
		}
		for _, who := range s.Whom {
			if who.Subject == "" && who.Email == "" && len(who.Sessions) == 0 || len(who.Sessions) > 0 && who.Sessions[0] == "" {
				t.Errorf("about everybody: %s", payload)
			}
		}
	})
}

// FuzzDocument: what is read strictly is what everybody else reads, and reads the
// same when it is written again.
func FuzzDocument(f *testing.F) {
	for _, raw := range []string{`{}`, `{"a":[1,2.5e3,"x",null,true,{"b":{}}]}`, `{"a":1,"a":2}`, `[]`, `{"a":`, `{}{}`, `{"\u0061":1,"a":2}`, strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := strict.Parse(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("read, and not JSON: %q", raw)
		}
		written, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := strict.Parse(written); err != nil || !reflect.DeepEqual(again, read) {
			t.Errorf("%q is %q when written again: %v", raw, written, err)
		}
	})
}

func TestAnswersToAPoll(t *testing.T) {
	for raw, want := range map[string]int{
		`{}`: 0, `{"sets":{}}`: 0, `{"sets":null,"moreAvailable":false}`: 0, `{"sets":{"a":"x.y.z"}}`: 1,
		`{"sets":[]}`: -1, `{"sets":"a"}`: -1, `{"sets":{"a":{}}}`: -1, `{"sets":{"":"x"}}`: -1, `null`: -1, ``: -1,
	} {
		a, err := readAnswer([]byte(raw))
		if (err != nil) != (want < 0) || err == nil && len(a.sets) != want {
			t.Errorf("%q: %d tokens, %v", raw, len(a.sets), err)
		}
	}
}

// FuzzAnswer: a transmitter's answer to a poll has no more tokens than were asked
// for, each under a name that can be told to it again.
func FuzzAnswer(f *testing.F) {
	for _, raw := range []string{`{"sets":{"a":"x.y.z"},"moreAvailable":true}`, `{"sets":{}}`, `{}`, `{"sets":{"":"x"}}`, `{"sets":null}`, `{"sets":{"a":{}}}`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := readAnswer(raw)
		if err != nil {
			return
		}
		for id := range a.sets {
			if id == "" || len(id) > maxID {
				t.Errorf("id %q", id)
			}
		}
		if len(a.sets) > maxEvents {
			t.Errorf("%d tokens", len(a.sets))
		}
	})
}
