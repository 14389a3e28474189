package local

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// stepLife is how long one page may be looked at.
	stepLife = 10 * time.Minute
	// sealStep keeps what is sealed between pages apart from every other use of the key.
	sealStep = "authn.local-step"
	// maxKept bounds what comes back of it, in base64url.
	maxKept = 16 << 10
)

// purpose is what a kept step is for: one of another is worth nothing.
type purpose string

const (
	// forCode is from a right password to the code that goes with it.
	forCode purpose = "code"
	// forPasskey is from what was asked of a passkey to its answer.
	forPasskey purpose = "passkey"
	// forInvited is from what somebody invited is offered to what they set up with it.
	forInvited purpose = "invited"
)

// kept is what must be known again when a page's form comes: it goes to the browser
// and back, sealed, so that looking at a page keeps nothing here. It counts for one
// sign-in or link alone.
type kept struct {
	For        purpose          `json:"for"`
	Of         []byte           `json:"of"` // hash of the sign-in's token, or the link's
	Expires    int64            `json:"expires"`
	User       identity.UserID  `json:"user,omitempty"`
	Generation int64            `json:"generation,omitempty"`
	Changed    int64            `json:"changed,omitempty"` // of the password
	Kind       authn.FactorKind `json:"kind,omitempty"`
	Private    []byte           `json:"private,omitempty"`
}

func hashOf(kind, token string) []byte {
	sum := sha256.Sum256([]byte(kind + " " + token))
	return sum[:]
}

func (s *Service) keep(ctx context.Context, tenant identity.TenantID, token string, k kept) (string, error) {
	k.Of, k.Expires = hashOf("step", token), store.Millis(s.now().Add(stepLife))
	plain, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("local: encode a step: %w", err)
	}
	sealed, err := s.keys.Seal(ctx, tenant, sealStep, plain)
	if err != nil {
		return "", storeDown(fmt.Errorf("local: seal a step: %w", err))
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// reopen reads what came back.
func (s *Service) reopen(ctx context.Context, tenant identity.TenantID, token string, want purpose, text string) (kept, error) {
	foreign := authn.Refuse(otherPage, "What came back does not belong to what was shown on this page.")
	if text == "" || len(text) > maxKept {
		return kept{}, foreign
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return kept{}, foreign
	}
	plain, err := s.keys.Open(ctx, tenant, sealStep, sealed)
	if fault.Is(err, fault.Unavailable) {
		return kept{}, err
	}
	if err != nil {
		return kept{}, foreign.Because(err)
	}
	var k kept
	if err := json.Unmarshal(plain, &k); err != nil {
		return kept{}, foreign.Because(err)
	}
	switch {
	case k.For != want || string(k.Of) != string(hashOf("step", token)):
		return kept{}, foreign
	case k.Expires <= store.Millis(s.now()):
		return kept{}, authn.Refuse(pageExpired, "The page was shown more than %v ago.", stepLife)
	}
	return k, nil
}

// credentials are those by which somebody has shown who they are. They stand in what is
// asserted of them where providers name their session, so that a session is made by
// credentials that are still theirs ([Service.Still]).
type credentials struct {
	generation int64
	password   bool
	changed    int64 // of the password
}

// String begins with the generation, which whoever ends sessions goes by.
func (p credentials) String() string {
	text := "generation " + strconv.FormatInt(p.generation, 10)
	if p.password {
		text += " password " + strconv.FormatInt(p.changed, 10)
	}
	return text
}

func credentialsOf(text string) (p credentials, ok bool) {
	if n, err := fmt.Sscanf(text, "generation %d password %d", &p.generation, &p.changed); err == nil && n == 2 {
		p.password = true
	} else if _, err := fmt.Sscanf(text, "generation %d", &p.generation); err != nil {
		return credentials{}, false
	}
	return p, p.String() == text
}
