// Package oidcidp is the demo's OpenID Connect provider, on zitadel/oidc:
// authorization code flow with PKCE, a plain sign-in form, RP-initiated logout, a
// page to sign out on, and back-channel logout to the clients.
//
// It exists so that the demo and the tests sign in through a real provider
// without leaving the machine. Everything is in memory and bounded. It must not
// be reachable from elsewhere: it listens on loopback and its passwords are
// public.
package oidcidp
