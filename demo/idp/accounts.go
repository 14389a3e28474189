package idp

import (
	"crypto/subtle"
	"strings"
)

// Account is a person whom a demo identity provider knows.
type Account struct {
	Subject  string // stable id at the provider
	Email    string // also the user name
	Name     string
	Password string
	Groups   []string
}

// Accounts is a provider's directory. It does not change once made.
type Accounts []Account

// BySubject finds an account by its id.
func (a Accounts) BySubject(subject string) (Account, bool) {
	for _, account := range a {
		if account.Subject == subject {
			return account, true
		}
	}
	return Account{}, false
}

// Check finds the account with this user name and password.
func (a Accounts) Check(username, password string) (Account, bool) {
	for _, account := range a {
		if strings.EqualFold(account.Email, strings.TrimSpace(username)) &&
			subtle.ConstantTimeCompare([]byte(account.Password), []byte(password)) == 1 {
			return account, true
		}
	}
	return Account{}, false
}
