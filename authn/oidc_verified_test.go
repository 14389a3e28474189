package authn_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/tenants"
)

// email_verified speaks of the address that stands beside it (OpenID Connect Core
// §5.1). Were that of the id token joined with an address of userinfo, or the other
// way about, whoever can write somebody else's address into their own profile would
// be that person to a connection that links people by their address.
func TestAnAddressIsVerifiedByTheDocumentThatNamesIt(t *testing.T) {
	const boss, mallory = "boss@acme.example", "mallory@acme.example"
	for name, try := range map[string]struct {
		claim             string // that holds the address; "": email
		idToken, userinfo map[string]any
		linked            bool
	}{
		"the address and that it is verified, at userinfo":     {"", nil, map[string]any{"email": boss, "email_verified": true}, true},
		"the same address in both":                             {"mail", map[string]any{"email": boss}, map[string]any{"mail": boss, "email": boss, "email_verified": true}, true},
		"verified in the id token, which names no address":     {"", map[string]any{"email_verified": true}, map[string]any{"email": boss}, false},
		"verified at userinfo, which names another":            {"mail", map[string]any{"email": boss}, map[string]any{"mail": boss, "email": mallory, "email_verified": true}, false},
		"verified at userinfo, which names none":               {"mail", map[string]any{"email": boss}, map[string]any{"mail": boss, "email_verified": true}, false},
		"verified in the id token, of another":                 {"mail", map[string]any{"email": mallory, "email_verified": true}, map[string]any{"mail": boss, "email": boss}, false},
		"verified in the id token, and not so at userinfo":     {"", map[string]any{"email_verified": true}, map[string]any{"email": boss, "email_verified": false}, false},
		"not verified in the id token, but so at userinfo":     {"mail", map[string]any{"email": boss, "email_verified": false}, map[string]any{"mail": boss, "email": boss, "email_verified": true}, false},
		"an address that is none, verified in the id token":    {"", map[string]any{"email": "", "email_verified": true}, map[string]any{"email": boss}, false},
		"a null for an address, verified in the id token":      {"", map[string]any{"email": nil, "email_verified": true}, map[string]any{"email": boss}, false},
		"a list for an address, verified in the id token":      {"", map[string]any{"email": []string{mallory}, "email_verified": true}, map[string]any{"email": boss}, false},
		"an address in capitals, verified in the id token":     {"", map[string]any{"EMAIL": mallory, "email_verified": true}, map[string]any{"email": boss}, false},
		"verified in capitals, at userinfo":                    {"", nil, map[string]any{"email": boss, "EMAIL_VERIFIED": true}, false},
		"another claim for the address, verified as if it was": {"mail", map[string]any{"mail": boss, "email_verified": true}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.connection()
			c.Link, c.OIDC.Claims.Email = tenants.LinkByEmail, try.claim
			w.connections.put(c)
			owner, err := w.directory.CreateUser(t.Context(), audit.SystemCause(), acme,
				directory.User{UserName: boss, Email: boss, Active: true, Source: directory.SourceAdmin})
			check(t, err)
			idp.claims = func(c jwt.MapClaims) {
				delete(c, "email")
				delete(c, "email_verified")
				maps.Copy(c, try.idToken)
			}
			idp.userinfo = map[string]any{"sub": "subject-1"}
			maps.Copy(idp.userinfo, try.userinfo)
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "app /")
			if is := b.live().Principal().User == owner.ID; is != try.linked {
				t.Errorf("signed in as the owner of the address: %t", is)
			}
		})
	}
}
