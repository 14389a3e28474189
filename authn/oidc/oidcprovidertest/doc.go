// Package oidcprovidertest runs oidc-provider, a certified OpenID provider for
// Node.js, for tests.
//
// It exists because a provider of our own makes the same mistakes as the code that it
// is to test. It must not be reachable from elsewhere: it listens on loopback, and
// lets anybody in.
package oidcprovidertest
