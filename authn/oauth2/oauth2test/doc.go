// Package oauth2test is an OAuth 2.0 provider of GitHub's shape for tests: a page
// to authorise on, a token endpoint that checks client, code and PKCE, and an API
// that tells the bearer of a token about a person, with pages where GitHub has
// them. It also holds what a hostile provider makes of that ([Attacks]).
//
// It exists so that the tests of the protocol and those of the whole sign-in go by
// one provider and one list of attacks. It must not be used outside of tests.
package oauth2test
