package signals

import (
	"gatehouse/authn"
)

// The families of events (CAEP 1.0 §3, RISC 1.0 §2, SSF 1.0), and that of
// SSF by the name it had before.
const (
	caep = "https://schemas.openid.net/secevent/caep/event-type/"
	risc = "https://schemas.openid.net/secevent/risc/event-type/"
	ssf  = "https://schemas.openid.net/secevent/ssf/event-type/"
	sse  = "https://schemas.openid.net/secevent/sse/event-type/"
)

// Why the sessions of an event end, as the journal keeps it.
const (
	reasonSessionRevoked     = "session-revoked-at-provider"
	reasonCredentialChange   = "credential-changed" // #nosec G101 -- a reason
	reasonNotCompliant       = "device-not-compliant"
	reasonAccountDisabled    = "account-disabled-at-provider"
	reasonAccountPurged      = "account-purged-at-provider"
	reasonCredentialRequired = "credential-change-required" // #nosec G101 -- a reason
)

// The words for events that are about the stream itself.
const (
	whyVerification  = "verification"
	whyStreamUpdated = "stream-updated"
)

// kind is what is known of a type of event.
type kind struct {
	ends string // the reason for which sessions end
	why  string // if none end
	// sessions: its subject may be a session itself.
	sessions bool
	// member decides, if there is one, by its value whether sessions end: true.
	// Another value than these is none of this type.
	member string
	values map[string]bool
}

var kinds = map[string]kind{
	caep + "session-revoked": {ends: reasonSessionRevoked, sessions: true},
	caep + "credential-change": {ends: reasonCredentialChange, member: "change_type",
		values: map[string]bool{"revoke": true, "update": true, "delete": true, "create": false}},
	caep + "device-compliance-change": {ends: reasonNotCompliant, member: "current_status",
		values: map[string]bool{"not-compliant": true, "compliant": false}},
	risc + "account-disabled":                   {ends: reasonAccountDisabled},
	risc + "account-purged":                     {ends: reasonAccountPurged},
	risc + "sessions-revoked":                   {ends: reasonSessionRevoked},
	risc + "account-credential-change-required": {ends: reasonCredentialRequired},
	ssf + "verification":                        {why: whyVerification},
	sse + "verification":                        {why: whyVerification},
	risc + "verification":                       {why: whyVerification},
	ssf + "stream-updated":                      {why: whyStreamUpdated},
	sse + "stream-updated":                      {why: whyStreamUpdated},
}

// signal says what comes of a verified token.
func (c *claims) signal() (authn.Signal, error) {
	s := authn.Signal{ID: c.id, Until: c.issued.Add(maxAge + 2*skew), Event: c.event}
	k, known := kinds[c.event]
	switch {
	case !known:
		s.Why = authn.WhyUnknown
		return s, nil
	case k.ends == "":
		s.Why, s.State = k.why, c.of.Text("state")
		return s, nil
	}
	s.Ends = k.ends
	if k.member != "" {
		ends, ok := k.values[c.of.Text(k.member)]
		if !ok {
			return authn.Signal{}, authn.Refuse(authn.Malformed, "The event's %s is missing or none that it may be.", k.member)
		}
		if !ends {
			s.Ends, s.Why = "", authn.WhyNoEffect
		}
	}
	var err error
	s.Whom, err = c.whom(k.sessions)
	return s, err
}
