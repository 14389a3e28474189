// Package simplesamltest runs SimpleSAMLphp, an identity provider that
// organisations really use, for tests.
//
// It exists because a provider of our own makes the same mistakes as the code
// that it is to test. It must not be reachable from elsewhere: it listens on
// loopback, and its passwords are public.
package simplesamltest
