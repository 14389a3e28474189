package authn

import (
	"bytes"
	"net/http"
	"time"
)

// logo serves the tenant's logo to everybody: it stands on the pages of those who have
// not signed in yet. Its address changes with the image, so that browsers may keep it
// for a while.
func (s *Service) logo(w http.ResponseWriter, r *http.Request) error {
	logo, image, err := s.tenants.LogoImage(r.Context(), tenantOf(r))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", logo.Type)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, max-age=300")
	h.Set("ETag", `"`+logo.Hash+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	return nil
}
