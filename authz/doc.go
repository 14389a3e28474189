// Package authz decides who may do what: roles account-wide and per team, and
// one decision with its reason, for the app's routes and the gateway's own API
// alike.
//
// It exists so that there is exactly one place that says yes; the yes is a
// [Permit] that nobody else can make. Casbin evaluates the policy; decisions
// are kept per policy version so that the request path never pays for it. It
// must not know HTTP handlers, sessions or how people sign in.
package authz
