// Package e2e tests the gateway from outside: real sign-ins at real identity
// providers, a real browser, the real binary with its faults.
//
// It exists because the promises are made to people who see only the outside.
// Every test runs the demo, in this process or as the built binary, and talks
// to it over TLS. It judges by what is seen there, reaches into rooms only to
// set up what would take people too long, and nothing may import it.
package e2e
