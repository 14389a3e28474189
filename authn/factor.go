package authn

import (
	"context"
	"slices"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// FactorKind is a kind of second factor.
type FactorKind string

// The kinds of second factor.
const (
	TOTP         FactorKind = "totp"
	Passkey      FactorKind = "passkey"
	RecoveryCode FactorKind = "recovery-code"
)

// Factor is what somebody proves themselves with beside their identity provider.
type Factor struct {
	ID      string
	Kind    FactorKind
	Name    string
	Host    string // at which a passkey counts
	Created time.Time
	Used    time.Time
}

// Held is all that somebody has.
type Held struct {
	Factors       []Factor
	RecoveryCodes int // that are left
}

func (h *Held) has(kind FactorKind) bool {
	return slices.ContainsFunc(h.Factors, func(f Factor) bool { return f.Kind == kind })
}

// Holder is whose factors are meant, and where their browser is.
type Holder struct {
	Tenant identity.TenantID
	User   identity.UserID
	// Name is what the person is called in lists of their authenticators, and Issuer
	// what we are.
	Name   string
	Issuer string
	Origin string // "https://acme.example.com"
	// Known says that they come by a browser in which they have signed in before,
	// whose wrong codes count apart from those of others.
	Known bool
}

// Offer is what a browser or a person is shown to show a factor.
type Offer struct {
	// Private is what must be known again when the proof comes. It is kept from the
	// browser.
	Private []byte
	// Options are what the browser is asked of a passkey (WebAuthn §5.4, §5.5), in
	// JSON.
	Options []byte
	// Key, URL and QR are the key for an authenticator app, in base32, as an address
	// and as an image (PNG).
	Key string
	URL string
	QR  []byte
}

// Proof is what comes back: a code, or the JSON of a passkey's answer.
type Proof struct {
	Kind  FactorKind
	Value string
}

// Enrolment is the taking up of an offer.
type Enrolment struct {
	Private []byte
	Proof   Proof
	Name    string
	// First has it be taken up only by somebody who has no factor: by whom none was
	// asked for before.
	First bool
}

// Shown is a second factor that was verified.
type Shown struct {
	Kind FactorKind
	AMR  []string // RFC 8176
}

// MayKeep refuses to leave somebody with these factors alone.
type MayKeep func(ctx context.Context, tx *store.Tx, keeps []Factor) error

// Factors keeps and verifies people's second factors. What is shown and does not
// count is a [Refusal], and one try too many a fault of kind TooMany.
type Factors interface {
	Held(ctx context.Context, tenant identity.TenantID, user identity.UserID) (Held, error)
	// Offer begins to add a factor of a kind; Enrol adds it, and makes recovery codes
	// with the first. again is what is Private of an offer to be made once more; nil: a
	// new one.
	Offer(ctx context.Context, h Holder, kind FactorKind, again []byte) (Offer, error)
	Enrol(ctx context.Context, cause audit.Cause, h Holder, e Enrolment) (codes []string, shown Shown, err error)
	// Ask is what a browser is asked to show one of the person's passkeys that count
	// where it is; NotFound if there is none.
	Ask(ctx context.Context, h Holder) (Offer, error)
	// Verify verifies a factor that is shown; private is that of Ask, for passkeys,
	// and good for one call.
	Verify(ctx context.Context, h Holder, private []byte, p Proof) (Shown, error)
	Rename(ctx context.Context, cause audit.Cause, h Holder, id, name string) error
	// Remove removes a factor, with keepLast not the last one. may refuses it by what is
	// kept, in the transaction that removes it; nil: it does not.
	Remove(ctx context.Context, cause audit.Cause, h Holder, id string, keepLast bool, may MayKeep) error
	// RenewCodes makes new recovery codes in the place of all that there are.
	RenewCodes(ctx context.Context, cause audit.Cause, h Holder) ([]string, error)
}

// Why a second factor does not count.
const (
	FactorWrong  Reason = "factor-wrong"
	FactorUsed   Reason = "factor-used"
	FactorCloned Reason = "factor-cloned"
	// factorsReset is a sign-in during which an admin took the person's factors away.
	factorsReset Reason = "factors-reset"
	// otherCeremony is the answer to what was asked of somebody else, or for
	// something else.
	otherCeremony Reason = "other-ceremony"
)

// factorLead is what the person reads.
func factorLead(r Reason) string {
	switch r {
	case FactorUsed:
		return "This was used already. Wait for the next code, and try again."
	case FactorCloned:
		return "This passkey may have been copied, so it does not count any more. Use another way, and tell your administrator."
	case otherCeremony, stepExpired:
		return "This took too long, or was begun on another page. Try again."
	}
	return "That did not work. Try again."
}

// The kinds of factor behind the values of amr (RFC 8176 §2). What proves presence,
// place or risk alone (user, geo, rba), and what only says by which way an answer
// came (mca, wia), is no factor.
var (
	amrKnowledge  = []string{"pwd", "pin", "kba"}
	amrPossession = []string{"otp", "hwk", "swk", "sc", "sms", "tel"}
	amrInherence  = []string{"face", "fpt", "iris", "retina", "vbm"}
)

// providerShowed reports whether an identity provider says that the person has
// shown a second factor: outright, by two kinds of factor, or by a class of
// authentication that the tenant has named.
func providerShowed(set *tenants.SecondFactor, a *Assertion) bool {
	if slices.Contains(a.AMR, "mfa") || a.ACR != "" && slices.Contains(set.ACRValues, a.ACR) {
		return true
	}
	kinds := 0
	for _, kind := range [][]string{amrKnowledge, amrPossession, amrInherence} {
		if slices.ContainsFunc(a.AMR, func(method string) bool { return slices.Contains(kind, method) }) {
			kinds++
		}
	}
	return kinds > 1
}

// asksFactor reports whether somebody who signs in shows a second factor here, and
// providers whether theirs says that they have shown one there. Who comes by a local
// account has shown it just now.
func (s *Service) asksFactor(tenant identity.TenantID, c tenants.Connection, a *Assertion) (asks, provider bool) {
	if _, ours := s.protocols[c.Type].(Host); ours {
		return false, true
	}
	t, ok := s.tenants.ByID(tenant)
	if !ok {
		return true, false // there is nobody to say otherwise
	}
	set := &t.Settings.SecondFactor
	provider = providerShowed(set, a)
	return set.Policy == tenants.FactorAlways || set.Asked() && !provider, provider
}
