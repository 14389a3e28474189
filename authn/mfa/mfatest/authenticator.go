// Package mfatest is a passkey in software, for tests: it answers what a browser is
// asked, and can be made to answer wrongly.
//
// It exists so that rooms can be tested with real signatures where no browser is.
// It must not be used outside of tests.
package mfatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// The flags of authenticator data (WebAuthn §6.1).
const (
	Present        byte = 1 << 0
	Verified       byte = 1 << 2
	BackupEligible byte = 1 << 3
	attested       byte = 1 << 6
)

// Passkey is one credential. Its fields may be changed between answers.
type Passkey struct {
	ID     []byte
	Origin string // of the page that the browser is on
	RPID   string // which the browser tells it
	Flags  byte
	Count  uint32 // of the next answer; grows with each unless Stuck
	Stuck  bool
	Handle []byte // the user handle that it was made for

	t   testing.TB
	key *ecdsa.PrivateKey
}

// New makes a passkey in a browser at this origin.
func New(t testing.TB, origin, rpID string) *Passkey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &Passkey{ID: id, Origin: origin, RPID: rpID, Flags: Present | Verified, Count: 1, t: t, key: key}
}

type options struct {
	Challenge string `json:"challenge"`
	User      struct {
		ID string `json:"id"`
	} `json:"user"`
}

func (p *Passkey) read(raw []byte) options {
	p.t.Helper()
	var o options
	if err := json.Unmarshal(raw, &o); err != nil {
		p.t.Fatal(err)
	}
	return o
}

func (p *Passkey) encode(v any) string {
	p.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(raw)
}

func text(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func (p *Passkey) client(kind, challenge string) []byte {
	return []byte(p.encode(map[string]any{"type": kind, "challenge": challenge, "origin": p.Origin, "crossOrigin": false}))
}

// data is the authenticator data (WebAuthn §6.1).
func (p *Passkey) data(flags byte) []byte {
	host := sha256.Sum256([]byte(p.RPID))
	out := append(host[:], flags)
	out = binary.BigEndian.AppendUint32(out, p.Count)
	if !p.Stuck {
		p.Count++
	}
	return out
}

// Create answers navigator.credentials.create.
func (p *Passkey) Create(raw []byte) string {
	p.t.Helper()
	o := p.read(raw)
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Handle = handle
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	public, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}) // RFC 9053 §7.1.1
	if err != nil {
		p.t.Fatal(err)
	}
	data := append(p.data(p.Flags|attested), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(p.ID))) // #nosec G115 -- 32
	data = append(append(data, p.ID...), public...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.encode(map[string]any{"id": text(p.ID), "rawId": text(p.ID), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": text(p.client("webauthn.create", o.Challenge)), "attestationObject": text(object), "transports": []string{"internal"}}})
}

// Get answers navigator.credentials.get.
func (p *Passkey) Get(raw []byte) string {
	p.t.Helper()
	client, data := p.client("webauthn.get", p.read(raw).Challenge), p.data(p.Flags)
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte(nil), data...), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, p.key, digest[:])
	if err != nil {
		p.t.Fatal(err)
	}
	return p.encode(map[string]any{"id": text(p.ID), "rawId": text(p.ID), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": text(client), "authenticatorData": text(data), "signature": text(signature), "userHandle": text(p.Handle)}})
}
