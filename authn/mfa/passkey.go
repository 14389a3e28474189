package mfa

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/authn"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// ceremonyTime is how long a browser waits for its person.
const ceremonyTime = 5 * time.Minute

// MaxCredential bounds what a browser says of a passkey, in bytes.
const MaxCredential = 32 << 10

var errHost = fault.New(fault.Conflict, "no-passkeys-here", "Passkeys are bound to the name of a host, and this address has none. Use an authenticator app.")

// party is us, as a browser at this origin knows us: passkeys are bound to the
// host's name (WebAuthn §5.1.2), and their answers to the origin.
func party(h authn.Holder) (*webauthn.WebAuthn, error) {
	host, err := hostOf(h)
	if err != nil {
		return nil, err
	}
	wait := webauthn.TimeoutConfig{Timeout: ceremonyTime, TimeoutUVD: ceremonyTime}
	p, err := webauthn.New(&webauthn.Config{RPID: host, RPDisplayName: label(h.Issuer), RPOrigins: []string{h.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		// Without the person's own PIN, finger or face a key found in a drawer would do.
		AuthenticatorSelection: protocol.AuthenticatorSelection{UserVerification: protocol.VerificationRequired, ResidentKey: protocol.ResidentKeyRequirementPreferred},
		Timeouts:               webauthn.TimeoutsConfig{Login: wait, Registration: wait}})
	if err != nil {
		return nil, fault.Wrap(err, errHost.Kind, errHost.Code, errHost.Detail)
	}
	return p, nil
}

func hostOf(h authn.Holder) (string, error) {
	u, err := url.Parse(h.Origin)
	if err != nil || u.Hostname() == "" {
		return "", errHost
	}
	return u.Hostname(), nil
}

// person is a holder with the passkeys that count at this host.
type person struct {
	authn.Holder

	credentials []webauthn.Credential
	rows        []row
}

// WebAuthnID is the user handle: the person's id, which says nothing of them.
func (p *person) WebAuthnID() []byte                         { return []byte(p.User) }
func (p *person) WebAuthnName() string                       { return label(p.Name) }
func (p *person) WebAuthnDisplayName() string                { return label(p.Name) }
func (p *person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

func (s *Service) person(ctx context.Context, h authn.Holder) (*person, error) {
	host, err := hostOf(h)
	if err != nil {
		return nil, err
	}
	all, err := s.rows(ctx, h)
	if err != nil {
		return nil, err
	}
	p := &person{Holder: h}
	for i := range all {
		if all[i].Kind != authn.Passkey || all[i].Host != host {
			continue
		}
		plain, err := s.open(ctx, h.Tenant, &all[i])
		if err != nil {
			return nil, err
		}
		var c webauthn.Credential
		if err := json.Unmarshal(plain, &c); err != nil {
			return nil, fmt.Errorf("mfa: read passkey %s: %w", all[i].ID, err)
		}
		p.credentials, p.rows = append(p.credentials, c), append(p.rows, all[i])
	}
	return p, nil
}

// offeredPasskey is what is kept of an offer until it is taken up.
type offeredPasskey struct {
	ID      string               `json:"id"`
	Session webauthn.SessionData `json:"session"`
}

func (s *Service) offerPasskey(ctx context.Context, h authn.Holder) (authn.Offer, error) {
	us, err := party(h)
	if err != nil {
		return authn.Offer{}, err
	}
	p, err := s.person(ctx, h)
	if err != nil {
		return authn.Offer{}, err
	}
	known := make([]protocol.CredentialDescriptor, len(p.credentials))
	for i := range p.credentials {
		known[i] = p.credentials[i].Descriptor()
	}
	return offerBy(us, p, webauthn.WithExclusions(known))
}

func offerBy(us *webauthn.WebAuthn, p *person, how webauthn.RegistrationOption) (authn.Offer, error) {
	creation, session, err := us.BeginRegistration(p, how)
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: offer a passkey: %w", err)
	}
	options, err := json.Marshal(creation.Response)
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: offer a passkey: %w", err)
	}
	private, err := json.Marshal(offeredPasskey{ID: newID(), Session: *session})
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: keep the offer of a passkey: %w", err)
	}
	return authn.Offer{Private: private, Options: options}, nil
}

// provedPasskey takes up an offer.
func (s *Service) provedPasskey(ctx context.Context, h authn.Holder, e authn.Enrolment) (proved, error) {
	var offered offeredPasskey
	if err := json.Unmarshal(e.Private, &offered); err != nil {
		return proved{}, fmt.Errorf("mfa: read the offer of a passkey: %w", err)
	}
	us, err := party(h)
	if err != nil {
		return proved{}, err
	}
	if len(e.Proof.Value) > MaxCredential {
		return proved{}, authn.Refuse(authn.TooLarge, "The browser's answer is larger than any real one.")
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(e.Proof.Value))
	if err != nil {
		return proved{}, refused(err)
	}
	made, err := us.CreateCredential(&person{Holder: h}, offered.Session, parsed)
	if err != nil {
		return proved{}, refused(err)
	}
	made.Attestation = webauthn.CredentialAttestation{} // nobody is asked for one
	sealed, err := s.sealPasskey(ctx, h, offered.ID, made)
	if err != nil {
		return proved{}, err
	}
	now := s.now()
	r := row{Factor: authn.Factor{ID: offered.ID, Kind: authn.Passkey, Name: e.Name, Host: us.Config.RPID, Created: now, Used: now},
		sealed: sealed, usedStep: int64(made.Authenticator.SignCount)}
	// One credential is one person's alone (WebAuthn §7.1 step 26).
	return proved{row: r, credential: hash("passkey", string(made.ID)), shown: shownBy(made)}, nil
}

func (s *Service) sealPasskey(ctx context.Context, h authn.Holder, id string, c *webauthn.Credential) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("mfa: keep a passkey: %w", err)
	}
	return s.seal(ctx, h.Tenant, id, plain)
}

// Ask implements [authn.Factors].
func (s *Service) Ask(ctx context.Context, h authn.Holder) (authn.Offer, error) {
	us, err := party(h)
	if err != nil {
		return authn.Offer{}, err
	}
	p, err := s.person(ctx, h)
	if err != nil {
		return authn.Offer{}, err
	}
	if len(p.credentials) == 0 {
		return authn.Offer{}, errNoFactor
	}
	assertion, session, err := us.BeginLogin(p)
	return asked(assertion, session, err)
}

// asked is what the library makes of a question, as the browser is asked it.
func asked(assertion *protocol.CredentialAssertion, session *webauthn.SessionData, err error) (authn.Offer, error) {
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: ask for a passkey: %w", err)
	}
	options, err := json.Marshal(assertion.Response)
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: ask for a passkey: %w", err)
	}
	private, err := json.Marshal(session)
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: keep what a passkey is asked for: %w", err)
	}
	return authn.Offer{Private: private, Options: options}, nil
}

// verifyPasskey verifies an answer to what was asked; that it is the only one is
// for the caller to see to. A signature counter that does not grow is the sign of a
// copied key (WebAuthn §6.1.1), and so is refused.
func (s *Service) verifyPasskey(ctx context.Context, h authn.Holder, private []byte, answer string) (authn.Shown, error) {
	us, session, parsed, err := readAnswer(h, private, answer)
	if err != nil {
		return authn.Shown{}, err
	}
	p, err := s.person(ctx, h)
	if err != nil {
		return authn.Shown{}, err
	}
	used, err := us.ValidateLogin(p, session, parsed)
	if err != nil {
		return authn.Shown{}, refused(err)
	}
	return s.useOf(ctx, p, used)
}

// readAnswer reads a browser's answer to what was asked.
func readAnswer(h authn.Holder, private []byte, answer string) (us *webauthn.WebAuthn, session webauthn.SessionData, parsed *protocol.ParsedCredentialAssertionData, err error) {
	if err = json.Unmarshal(private, &session); err != nil {
		return nil, session, nil, fmt.Errorf("mfa: read what a passkey was asked for: %w", err)
	}
	if us, err = party(h); err != nil {
		return nil, session, nil, err
	}
	if len(answer) > MaxCredential {
		return nil, session, nil, authn.Refuse(authn.TooLarge, "The browser's answer is larger than any real one.")
	}
	if parsed, err = protocol.ParseCredentialRequestResponseBytes([]byte(answer)); err != nil {
		return nil, session, nil, refused(err)
	}
	return us, session, parsed, nil
}

// useOf has an answer that verifies count.
func (s *Service) useOf(ctx context.Context, p *person, used *webauthn.Credential) (authn.Shown, error) {
	h := p.Holder
	if used.Authenticator.CloneWarning {
		return authn.Shown{}, authn.Refuse(authn.FactorCloned, "The passkey's counter has not grown: there may be a copy of it.")
	}
	var id string
	for i := range p.credentials {
		if string(p.credentials[i].ID) == string(used.ID) {
			id = p.rows[i].ID
		}
	}
	sealed, err := s.sealPasskey(ctx, h, id, used)
	if err != nil {
		return authn.Shown{}, err
	}
	count := int64(used.Authenticator.SignCount)
	var n int64
	err = s.store.Tenant(h.Tenant).Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, `UPDATE factors SET secret = $1, used_step = $2, used_at = $3 WHERE id = $4 AND user_id = $5 AND (used_step < $2 OR $2 = 0)`,
			sealed, count, store.Millis(s.now()), id, h.User)
		return err
	})
	switch {
	case err != nil:
		return authn.Shown{}, outOfReach(err)
	case n == 0:
		return authn.Shown{}, authn.Refuse(authn.FactorUsed, "The passkey was removed, or used at the same time.")
	}
	return shownBy(used), nil
}

// shownBy says what a passkey proves (RFC 8176 §2): the possession of a key, in
// hardware unless it may be copied to other devices, and that its person was there.
func shownBy(c *webauthn.Credential) authn.Shown {
	key := "hwk"
	if c.Flags.BackupEligible {
		key = "swk"
	}
	return authn.Shown{Kind: authn.Passkey, AMR: []string{key, "user", "mfa"}}
}

// refused is an answer that does not verify. What the library says of it is for
// the operator's log.
func refused(err error) error {
	return authn.Refuse(authn.FactorWrong, "The passkey's answer does not verify.").Because(err)
}
