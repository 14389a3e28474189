// Package e2e tests the gateway from outside: real sign-ins at real identity
// providers, a real browser, the real binary with its faults.
//
// It exists because the promises are made to people who see only the outside.
// Every test runs the demo, in this process or as the built binary, and talks
// to it over TLS. It must not reach into rooms, and nothing may import it.
package e2e
