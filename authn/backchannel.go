package authn

import (
	"context"
	"errors"
	"net/http"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// maxNotice bounds what an identity provider sends to say that somebody has
// signed out there.
const maxNotice = 80 << 10

// backChannel takes what an identity provider's server says (OpenID Connect
// Back-Channel Logout §2.5). It answers once the sessions are over everywhere
// (P2), and by the words of OAuth 2.0 if it does not believe it (§2.8).
func (s *Service) backChannel(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	c, err := s.heed(w, r, tenants.OIDC)
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	refusal, _, ok := refusalOf(err)
	if !ok {
		return err
	}
	if _, err := s.record(r, audit.SignOutRefused, c, refusal); err != nil {
		return err
	}
	status, code := http.StatusBadRequest, "invalid_request"
	if refusal.Reason == ProviderUnreachable {
		status, code = http.StatusServiceUnavailable, "temporarily_unavailable"
		w.Header().Set("Retry-After", "10")
	}
	httpkit.WriteJSON(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, refusal.Message})
	return nil
}

// heed ends the sessions that an identity provider says are over.
func (s *Service) heed(w http.ResponseWriter, r *http.Request, kind tenants.ConnectionType) (tenants.Connection, error) {
	if err := parseForm(w, r, maxNotice); err != nil {
		if fault.Is(err, fault.TooLarge) {
			return tenants.Connection{}, Refuse(TooLarge, "The message is larger than any real one.").Because(err)
		}
		return tenants.Connection{}, Refuse(Malformed, "The message cannot be read.").Because(err)
	}
	c, err := s.connectionFor(r, kind)
	if err != nil {
		return c, err
	}
	listener, ok := s.protocols[c.Type].(SignOutListener)
	if !ok {
		return c, errors.New("authn: the protocol of " + c.Name + " hears of no sign-outs")
	}
	over, err := listener.SignedOut(r.Context(), tenantOf(r), c, r)
	if err != nil {
		return c, err
	}
	return c, s.endThose(r, c, over)
}

// endThose ends what the message is about. It counts as used only then: a
// provider that was told to try again must be heeded, and a second end ends
// nothing more.
func (s *Service) endThose(r *http.Request, c tenants.Connection, over SignedOut) error {
	ctx, tenant := r.Context(), tenantOf(r)
	message := hash("sign-out", string(c.ID), over.Replay)
	used, err := s.flows.heeded(ctx, tenant, message)
	if err != nil {
		return err
	}
	if used {
		return Refuse(replayed, "The message was heeded before.")
	}
	cause := audit.CauseOf(r, nil)
	cause.Actor, cause.Connection = audit.Actor{Kind: identity.KindIDP, ID: string(c.ID), Name: c.Name}, c.ID
	which := sessions.Selector{Connection: c.ID, IDPSubject: over.Subject, IDPSessions: over.Sessions}
	if err := s.endAtProvider(ctx, cause, tenant, which, sessions.ReasonSignedOutAtProvider); err != nil {
		return err
	}
	_, err = s.flows.remember(ctx, tenant, message, over.ReplayUntil)
	return err
}

// endAtProvider ends sessions that their provider has ended. Without the database
// no sign-in comes to an end, so what is on its way cannot outlive this; it is noted
// when whoever told of it does so again, which the error asks for.
func (s *Service) endAtProvider(ctx context.Context, cause audit.Cause, tenant identity.TenantID, which sessions.Selector, reason string) error {
	unnoted := s.flows.signedOut(ctx, tenant, which)
	if unnoted != nil && !fault.Is(unnoted, fault.Unavailable) {
		return unnoted
	}
	if _, err := s.sessions.Revoke(ctx, cause, tenant, which, reason); err != nil {
		return err
	}
	return unnoted
}
