package tenants

import (
	"encoding/json"
	"strings"
)

// Signals says who tells what has become of a connection's people and their
// sessions (OpenID Shared Signals Framework 1.0): the identity provider, or a
// product that looks after devices. What it is told can only end sessions.
type Signals struct {
	// Issuer is the transmitter, as its security event tokens name it.
	Issuer string `json:"issuer"`
	// JWKSURL is where its keys are; "": where its own configuration says so.
	JWKSURL string `json:"jwks_url,omitempty"`
	// Audience is whom the tokens must be for; "": our own address of the
	// connection's signals.
	Audience string `json:"audience,omitempty"`
	// Authorization is what a push must carry in the header of this name; "": the
	// token's signature is enough. Sealed at rest, never given out.
	Authorization string `json:"-"`
	// Poll has the events be fetched; nil: they are pushed.
	Poll *SignalsPoll `json:"poll,omitempty"`
}

// SignalsPoll says where events wait to be fetched (RFC 8936).
type SignalsPoll struct {
	Endpoint string `json:"endpoint"`
	Token    string `json:"-"` // bearer token; sealed at rest, never given out
}

// String leaves the secrets out, wherever it is printed.
func (s Signals) String() string { return "signals " + s.Issuer }

// String leaves the secret out.
func (p SignalsPoll) String() string { return "poll " + p.Endpoint }

// Same reports whether both say the same, secrets included.
func (s *Signals) Same(o *Signals) bool {
	if s == nil || o == nil {
		return s == o
	}
	a, b := *s, *o
	a.Poll, b.Poll = nil, nil
	return a == b && (s.Poll == nil) == (o.Poll == nil) && (s.Poll == nil || *s.Poll == *o.Poll)
}

func (s *Signals) clone() *Signals {
	if s == nil {
		return nil
	}
	c := *s
	if c.Poll != nil {
		poll := *c.Poll
		c.Poll = &poll
	}
	return &c
}

func (s *Signals) check() error {
	if s == nil {
		return nil
	}
	if u, err := fetchable(s.Issuer); err != nil || u.RawQuery != "" { // as an issuer of OpenID Connect
		return badConnection("the issuer of signals is an https URL without query (http only for loopback addresses)").At("signals.issuer")
	}
	if s.JWKSURL != "" {
		if _, err := fetchable(s.JWKSURL); err != nil {
			return badConnection("jwks_url of signals is an https URL (http only for loopback addresses)").At("signals.jwks_url")
		}
	}
	if len(s.Audience) > maxURL || !isText(s.Audience) {
		return badConnection("audience of signals is at most %d characters", maxURL).At("signals.audience")
	}
	if s.Authorization != "" && !isFieldValue(s.Authorization) {
		return badConnection("authorization of signals is at most %d printable characters, with no space at an end", maxSecret).At("signals.authorization")
	}
	if s.Poll == nil {
		return nil
	}
	if s.Authorization != "" {
		return badConnection("signals that are polled are not pushed, so authorization is not for them").At("signals.authorization")
	}
	if _, err := fetchable(s.Poll.Endpoint); err != nil {
		return badConnection("the endpoint of signals.poll is an https URL (http only for loopback addresses)").At("signals.poll.endpoint")
	}
	if s.Poll.Token == "" || !isFieldValue(s.Poll.Token) || strings.Contains(s.Poll.Token, " ") {
		return badConnection("the token of signals.poll is 1 to %d printable characters without spaces", maxSecret).At("signals.poll.token")
	}
	return nil
}

// isFieldValue accepts what can be the value of a header as it stands (RFC 9110
// §5.5), in ASCII.
func isFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= maxSecret && strings.TrimSpace(s) == s
}

// signalSecrets are those of a connection's signals, as they are sealed.
type signalSecrets struct {
	Authorization string `json:"authorization,omitempty"`
	Token         string `json:"token,omitempty"`
}

// secrets gives what has to be sealed; nil if there is nothing.
func (s *Signals) secrets() ([]byte, error) {
	var secrets signalSecrets
	if s != nil {
		secrets.Authorization = s.Authorization
		if s.Poll != nil {
			secrets.Token = s.Poll.Token
		}
	}
	if secrets == (signalSecrets{}) {
		return nil, nil
	}
	return json.Marshal(secrets)
}

// setSecrets is the reverse of secrets.
func (s *Signals) setSecrets(plain []byte) error {
	var secrets signalSecrets
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return err
	}
	s.Authorization = secrets.Authorization
	if s.Poll != nil {
		s.Poll.Token = secrets.Token
	}
	return nil
}
