package tenants

import (
	"fmt"
	"slices"
)

// SecondFactor says whom the gate itself asks for a second factor at sign-in.
// Routes that ask for one do so whatever stands here.
type SecondFactor struct {
	Policy FactorPolicy `json:"policy,omitempty" yaml:"policy,omitempty" enum:"never,unless_provider,always" doc:"Who shows a second factor at sign-in: nobody (the default), those whose identity provider does not say that they have shown one, everybody"`
	// ACRValues are those of the identity providers' classes of authentication that
	// stand for a second factor, letter by letter.
	ACRValues []string `json:"acr_values,omitempty" yaml:"acr_values,omitempty" maxItems:"10" doc:"Values of acr (OpenID Connect) and AuthnContextClassRef (SAML) by which an identity provider says that a second factor was shown; amr is understood without"`
}

// FactorPolicy is who is asked.
type FactorPolicy string

const (
	// FactorNever asks nobody; it is the default.
	FactorNever FactorPolicy = "never"
	// FactorUnlessProvider asks those whose identity provider has not, as far as it
	// says.
	FactorUnlessProvider FactorPolicy = "unless_provider"
	// FactorAlways asks everybody.
	FactorAlways FactorPolicy = "always"
)

// Equal reports whether both say the same.
func (s SecondFactor) Equal(o SecondFactor) bool {
	return s.Policy == o.Policy && slices.Equal(s.ACRValues, o.ACRValues)
}

// Asked reports whether some sign-in is asked for a second factor.
func (s *SecondFactor) Asked() bool {
	return s.Policy == FactorUnlessProvider || s.Policy == FactorAlways
}

func (s SecondFactor) check() error {
	if s.Policy != "" && s.Policy != FactorNever && !s.Asked() {
		return invalid("bad-settings", fmt.Sprintf("second_factor.policy is %s, %s or %s.", FactorNever, FactorUnlessProvider, FactorAlways))
	}
	if len(s.ACRValues) > maxACRValues {
		return invalid("bad-settings", fmt.Sprintf("second_factor.acr_values are at most %d.", maxACRValues))
	}
	for i, value := range s.ACRValues {
		if value == "" || len(value) > maxACRValue || !isToken(value) {
			return invalid("bad-settings", fmt.Sprintf("second_factor.acr_values: %.100q is no value of acr, which has no blanks and up to %d bytes.", value, maxACRValue))
		}
		if slices.Contains(s.ACRValues[:i], value) {
			return invalid("bad-settings", fmt.Sprintf("second_factor.acr_values: %q stands there twice.", value))
		}
	}
	return nil
}
