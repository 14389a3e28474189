package keys

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
)

// KEK is a key-encryption key: it wraps the tenants' data keys and never
// leaves where it lives. Wrapping is rare, so it may cost a network call.
type KEK interface {
	// ID names the key without giving anything of it away; it is stored beside
	// what the key has wrapped.
	ID() string
	// Wrap encrypts a data key, bound to aad.
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	// Unwrap reverses Wrap; another aad or any changed byte is an error.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
	// Check is a cheap answer to: is it still there, and still the same key?
	Check(ctx context.Context) error
}

const keySize = 32

// kekFileLimit is generous for 44 characters and a line end.
const kekFileLimit = 256

// fileKEK is the embedded default: 256 bits in a file of its own. The key stays
// in memory while the gateway runs, but is used only while the file is there,
// so that nothing is wrapped that a restart could not unwrap.
type fileKEK struct {
	path string
	id   string
	key  []byte
	aead cipher.AEAD
	seen atomic.Pointer[fs.FileInfo] // the file as it was when its content was last compared
}

// OpenFileKEK reads the key-encryption key at path: 32 bytes in base64, in a
// file that only its owner may read. If the file is missing and mayCreate is
// set, it is made with fresh random bytes and mode 0600. Callers set mayCreate
// only where no data exists yet: a new key opens nothing that is old.
func OpenFileKEK(path string, mayCreate bool) (KEK, error) {
	key, info, err := readKEK(path)
	if errors.Is(err, fs.ErrNotExist) && mayCreate {
		// Another process may create it at the same moment; whoever is first wins.
		if err := createKEK(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("create key-encryption key: %w", err)
		}
		key, info, err = readKEK(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the key-encryption key is missing, and nothing that was encrypted under it can be read without: put its copy back in its place, with mode 0600: %w", err)
	case err != nil:
		return nil, fmt.Errorf("open key-encryption key: %w", err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	fingerprint, err := hkdf.Key(sha256.New, key, nil, "gatehouse kek id", 8)
	if err != nil {
		return nil, err
	}
	k := &fileKEK{path: path, id: "file:" + hex.EncodeToString(fingerprint), key: key, aead: aead}
	k.seen.Store(&info)
	return k, nil
}

func createKEK(path string) error {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: crypto/rand aborts the program instead
	text := base64.StdEncoding.AppendEncode(nil, key)
	return writeNew(path, append(text, '\n'))
}

func readKEK(path string) ([]byte, fs.FileInfo, error) {
	text, info, err := readSmall(path, kekFileLimit)
	if err != nil {
		return nil, nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, nil, fmt.Errorf("keys: %s is open to others (mode %04o): make it 0600", path, info.Mode().Perm())
	}
	key, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != keySize {
		// The decoder's error would quote what it could not read.
		return nil, nil, fmt.Errorf("keys: %s does not hold %d bytes in base64", path, keySize)
	}
	return key, info, nil
}

func (k *fileKEK) ID() string { return k.id }

func (k *fileKEK) Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error) {
	if err := k.Check(ctx); err != nil {
		return nil, err
	}
	return k.aead.Seal(nil, nil, plaintext, aad), nil // #nosec G407 -- the AEAD makes its nonce itself and takes none
}

func (k *fileKEK) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	if err := k.Check(ctx); err != nil {
		return nil, err
	}
	return k.aead.Open(nil, nil, wrapped, aad)
}

// Check costs one stat as long as the file is untouched; a changed one is read
// again and compared.
func (k *fileKEK) Check(context.Context) error {
	info, err := os.Stat(k.path)
	if err != nil {
		return err
	}
	if err := readable(k.path, info); err != nil {
		return err
	}
	if unchanged(*k.seen.Load(), info) {
		return nil
	}
	key, info, err := readKEK(k.path)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(key, k.key) != 1 {
		return fmt.Errorf("keys: %s holds another key than at the start", k.path)
	}
	k.seen.Store(&info)
	return nil
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Mode() == b.Mode() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// newAEAD is AES-256-GCM with a random 96-bit nonce before each message, which
// is safe for 2^32 messages under one key (NIST SP 800-38D §8.3).
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
