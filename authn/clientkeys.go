package authn

import (
	"net/http"

	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// clientKeysAge is for how long our keys may be cached: a new one is published for
// longer before it is used.
const clientKeysAge = "public, max-age=3600"

// clientKeys serves the public keys by which an OpenID provider knows us (OpenID
// Connect Core §9, private_key_jwt).
func (s *Service) clientKeys(w http.ResponseWriter, r *http.Request) error {
	missing := fault.New(fault.NotFound, "no-keys", "There is no connection of this name that has keys.")
	c, err := s.tenants.Connection(r.Context(), tenantOf(r), r.PathValue("connection"))
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return missing
		}
		return err
	}
	publisher, ok := s.protocols[c.Type].(KeyPublisher)
	if !ok || c.Type != tenants.OIDC {
		return missing
	}
	document, mediaType, err := publisher.Keys(r.Context(), tenantOf(r), c)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", clientKeysAge)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(document) // the client may be gone; nothing is left to tell it
	return nil
}
