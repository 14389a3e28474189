package keys

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// maxCached bounds the unwrapped data keys in memory; at 32 bytes each it is
// about round trips to a KMS, not about space.
const maxCached = 4096

// record is what the vault keeps of one tenant.
type record struct {
	KEK     string `json:"kek"`     // id of the key that wrapped it
	Wrapped []byte `json:"wrapped"` // the data key
}

// Ring gives each tenant keys of its own. It is safe for concurrent use.
// Whatever is out of reach comes back as a fault of kind Unavailable.
type Ring struct {
	kek   KEK
	vault Vault

	mu        sync.Mutex
	cached    map[identity.TenantID]*[keySize]byte
	forgotten uint64 // counts calls of Forget, so that a load under way does not bring a key back
}

// NewRing joins a key-encryption key and the vault of what it has wrapped.
func NewRing(kek KEK, vault Vault) *Ring {
	return &Ring{kek: kek, vault: vault, cached: map[identity.TenantID]*[keySize]byte{}}
}

// Create makes a tenant's data key. A tenant that has one keeps it, so that a
// creation that was interrupted can be repeated.
func (r *Ring) Create(ctx context.Context, tenant identity.TenantID) error {
	if err := checkID(tenant); err != nil {
		return err
	}
	key := make([]byte, keySize)
	defer clear(key)
	_, _ = rand.Read(key) // never fails: crypto/rand aborts the program instead
	wrapped, err := r.kek.Wrap(ctx, key, wrapContext(tenant))
	if err != nil {
		return unavailable(fmt.Errorf("wrap data key of %s: %w", tenant, err))
	}
	text, err := json.Marshal(record{KEK: r.kek.ID(), Wrapped: wrapped})
	if err != nil {
		return fmt.Errorf("encode key record: %w", err)
	}
	if err := r.vault.Put(ctx, tenant, text); err != nil && !errors.Is(err, fs.ErrExist) {
		return unavailable(fmt.Errorf("keep data key of %s: %w", tenant, err))
	}
	return nil
}

// Has reports whether the tenant has a data key.
func (r *Ring) Has(ctx context.Context, tenant identity.TenantID) (bool, error) {
	switch err := r.vault.Check(ctx, tenant); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrNoKey):
		return false, nil
	default:
		return false, unavailable(fmt.Errorf("look for data key of %s: %w", tenant, err))
	}
}

// Destroy removes a tenant's data key for good; what was encrypted under it
// stays unreadable for ever. Destroying a key that is gone is no error.
func (r *Ring) Destroy(ctx context.Context, tenant identity.TenantID) error {
	err := r.vault.Delete(ctx, tenant)
	r.Forget(tenant)
	if err != nil {
		return unavailable(fmt.Errorf("destroy data key of %s: %w", tenant, err))
	}
	return nil
}

// Forget drops what is in memory of a tenant's data key, which another process
// has destroyed. A key that is still in the vault is unwrapped again on use.
func (r *Ring) Forget(tenant identity.TenantID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten++
	if key := r.cached[tenant]; key != nil {
		clear(key[:])
		delete(r.cached, tenant)
	}
}

// Derive gives a key of size bytes for one purpose of one tenant, always the
// same (HKDF-SHA256, RFC 5869). Different purposes give unrelated keys.
func (r *Ring) Derive(ctx context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	key, err := r.dataKey(ctx, tenant)
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	derived, err := hkdf.Key(sha256.New, key[:], nil, "gatehouse "+purpose, size)
	if err != nil {
		return nil, fmt.Errorf("derive %q key: %w", purpose, err)
	}
	return derived, nil
}

// Seal encrypts a value with AES-256-GCM, bound to the tenant and the purpose.
func (r *Ring) Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error) {
	key, err := r.Derive(ctx, tenant, sealPurpose(purpose), keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plaintext, sealContext(tenant, purpose)), nil // #nosec G407 -- the AEAD makes its nonce itself and takes none
}

// Open reverses [Ring.Seal]. A value that was changed, or sealed for another
// tenant or purpose, is a fault with [ErrSealed] as its cause.
func (r *Ring) Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error) {
	key, err := r.Derive(ctx, tenant, sealPurpose(purpose), keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed, sealContext(tenant, purpose))
	if err != nil {
		return nil, fault.Wrap(ErrSealed, fault.Internal, "sealed-value-unreadable",
			"A stored secret cannot be read. The operator has to look into it.")
	}
	return plaintext, nil
}

// Check reports, for two stats on the embedded default, whether the tenant's
// keys could be unwrapped now: nil, or a fault of kind Unavailable (promise P7).
func (r *Ring) Check(ctx context.Context, tenant identity.TenantID) error {
	if err := r.kek.Check(ctx); err != nil {
		return unavailable(fmt.Errorf("key-encryption key: %w", err))
	}
	if err := r.vault.Check(ctx, tenant); err != nil {
		return unavailable(fmt.Errorf("data key of %s: %w", tenant, err))
	}
	return nil
}

// dataKey returns a copy of a tenant's data key, from the cache or unwrapped.
func (r *Ring) dataKey(ctx context.Context, tenant identity.TenantID) ([keySize]byte, error) {
	r.mu.Lock()
	if key := r.cached[tenant]; key != nil {
		defer r.mu.Unlock()
		return *key, nil
	}
	forgotten := r.forgotten
	r.mu.Unlock()

	key, err := r.load(ctx, tenant)
	if err != nil {
		return key, unavailable(fmt.Errorf("data key of %s: %w", tenant, err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgotten == forgotten {
		r.keep(tenant, key)
	}
	return key, nil
}

func (r *Ring) load(ctx context.Context, tenant identity.TenantID) (key [keySize]byte, err error) {
	text, err := r.vault.Get(ctx, tenant)
	if err != nil {
		return key, err
	}
	var rec record
	if err := json.Unmarshal(text, &rec); err != nil {
		return key, fmt.Errorf("the key record is damaged: %w", err)
	}
	if rec.KEK != r.kek.ID() {
		return key, fmt.Errorf("wrapped by key %q, but the key-encryption key is %q", rec.KEK, r.kek.ID())
	}
	plain, err := r.kek.Unwrap(ctx, rec.Wrapped, wrapContext(tenant))
	if err != nil {
		return key, fmt.Errorf("unwrap: %w", err)
	}
	defer clear(plain)
	if len(plain) != keySize {
		return key, fmt.Errorf("unwrapped to %d bytes, not %d", len(plain), keySize)
	}
	copy(key[:], plain)
	return key, nil
}

// keep caches a key; when the cache is full, any other makes room.
func (r *Ring) keep(tenant identity.TenantID, key [keySize]byte) {
	if len(r.cached) >= maxCached {
		for other, old := range r.cached {
			clear(old[:])
			delete(r.cached, other)
			break
		}
	}
	r.cached[tenant] = &key
}

// wrapContext binds a wrapped key to its tenant: a record that was moved to
// another tenant's name does not unwrap.
func wrapContext(tenant identity.TenantID) []byte {
	return []byte("gatehouse data key\x00" + string(tenant))
}

// sealPurpose keeps the keys of Seal apart from those that Derive hands out.
func sealPurpose(purpose string) string { return "seal " + purpose }

func sealContext(tenant identity.TenantID, purpose string) []byte {
	return []byte(string(tenant) + "\x00" + purpose)
}
