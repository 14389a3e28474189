package keyring

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// bits is RSA that every provider takes; few take anything else.
const bits = 2048

// Key is one of a connection's keys, as far as it is for others to see.
type Key struct {
	// Public is what [Kind.Public] made of it.
	Public []byte
	// SignsAt is from when on it signs; the newest whose time has come does.
	SignsAt time.Time
	// State is what it is for at this moment.
	State State
	// Published says whether the provider has to know it at this moment.
	Published bool

	generation int64
	created    time.Time
	sealed     []byte
}

// State is what a key is for.
type State string

const (
	// Prepared is published, so that the provider knows it when it comes to sign.
	Prepared State = "prepared"
	// Signing signs. There is one.
	Signing State = "signing"
	// Retired signs no more, and still decrypts what was encrypted for it.
	Retired State = "retired"
)

// settle says what keys, newest first, are for at a moment. The first of all has
// nothing to wait for.
func (k Kind) settle(keys []Key, now time.Time) {
	signs := slices.IndexFunc(keys, func(key Key) bool { return !key.SignsAt.After(now) })
	if signs < 0 {
		signs = len(keys) - 1
	}
	for i := range keys {
		keys[i].State = Retired
		switch {
		case i < signs:
			keys[i].State = Prepared
		case i == signs:
			keys[i].State = Signing
		}
		keys[i].Published = i <= signs || now.Before(keys[i-1].SignsAt.Add(k.Behind))
	}
}

// wanting reports whether there is none, or none that is young enough.
func (k Kind) wanting(keys []Key, now time.Time) bool {
	return len(keys) == 0 || k.Life > 0 && !now.Before(keys[0].created.Add(k.Life))
}

// generate makes a private key, and the form in which it is sealed.
func generate() (private *rsa.PrivateKey, plain []byte, err error) {
	if private, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
		return nil, nil, fmt.Errorf("keyring: make key: %w", err)
	}
	if plain, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, nil, fmt.Errorf("keyring: write key: %w", err)
	}
	return private, plain, nil
}

// read is the reverse of [generate].
func read(plain []byte) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T", parsed)
	}
	return private, nil
}
