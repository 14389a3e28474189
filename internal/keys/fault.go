package keys

import (
	"errors"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

var (
	// ErrNoKey is the cause of the fault for a tenant that has no data key: it was
	// never made, was destroyed, or its record is missing.
	ErrNoKey = errors.New("keys: the tenant has no data key")
	// ErrSealed is the cause of the fault for a value that does not open: it was
	// changed, or sealed for another tenant or purpose.
	ErrSealed = errors.New("keys: the sealed value does not open")

	errTenantID = errors.New("keys: not a tenant id")
)

// unavailable is what a caller gets when a key is out of reach: it fails closed
// (promise P7) and says so. cause must not hold key material.
func unavailable(cause error) error {
	return fault.OutOfReach(cause, "keys-unavailable", "The encryption keys cannot be reached right now. Try again in a moment.")
}

// checkID keeps what is about to become a file name or a key's context to the
// form that identity makes: letters, digits and underscores.
func checkID(tenant identity.TenantID) error {
	if tenant == "" || len(tenant) > 64 {
		return errTenantID
	}
	for _, c := range []byte(tenant) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return errTenantID
		}
	}
	return nil
}
