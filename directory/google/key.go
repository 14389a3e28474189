package google

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxKeyFile = 16 << 10
	minKeyBits = 2048
	maxKeyBits = 8192
)

// ServiceAccount is what may be known of a service account's key.
type ServiceAccount struct {
	Email    string `json:"client_email"`
	ClientID string `json:"client_id" doc:"What the Admin console's domain-wide delegation is given for"`
	KeyID    string `json:"private_key_id"`
}

// key is a service account's, as the file from Google's console has it.
type key struct {
	ServiceAccount

	private *rsa.PrivateKey
}

// String leaves the key out, wherever it is printed.
func (k *key) String() string { return "service account " + k.Email }

// readKey reads the file. It must be for this token endpoint: a file that names another
// would have our assertions sent to whoever made it.
func readKey(file []byte, tokenURL string) (*key, error) {
	var f struct {
		ServiceAccount

		Type     string `json:"type"`
		Private  string `json:"private_key"`
		TokenURI string `json:"token_uri"`
	}
	if len(file) > maxKeyFile || json.Unmarshal(file, &f) != nil {
		return nil, invalid("key", "key is the JSON file of a service account's key, as the Google Cloud console gives it out.")
	}
	switch {
	case f.Type != "service_account":
		return nil, invalid("key", "The key's type is not service_account: make a key of a service account, under its Keys, of the type JSON.")
	case f.TokenURI != tokenURL:
		return nil, invalid("key", "The key's token_uri is not %s: use the file as Google gave it out.", tokenURL)
	case !isAddress(f.Email) || !isID(f.ClientID) || !isID(f.KeyID):
		return nil, invalid("key", "The key has no client_email, client_id or private_key_id: use the file as Google gave it out.")
	}
	block, rest := pem.Decode([]byte(f.Private))
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		return nil, errPrivateKey()
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok || private.N.BitLen() < minKeyBits || private.N.BitLen() > maxKeyBits || private.Validate() != nil {
		return nil, errPrivateKey()
	}
	return &key{ServiceAccount: f.ServiceAccount, private: private}, nil
}

func errPrivateKey() error {
	return invalid("key", "The key's private_key is not an RSA key of %d to %d bits in PKCS #8: use the file as Google gave it out.", minKeyBits, maxKeyBits)
}

// scopes are all that is asked for: to read, and no more.
const scopes = "https://www.googleapis.com/auth/admin.directory.user.readonly https://www.googleapis.com/auth/admin.directory.group.readonly https://www.googleapis.com/auth/admin.directory.group.member.readonly"

// assertion asks for an access token in the name of an admin (RFC 7523 §2.1, §3).
func (k *key) assertion(admin, tokenURL string, now time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": k.Email, "sub": admin, "scope": scopes, "aud": tokenURL,
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	t.Header["kid"] = k.KeyID
	return t.SignedString(k.private)
}
