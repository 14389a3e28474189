// Package attacktest makes SAML responses as an identity provider would, and
// hostile ones out of them.
//
// It exists so that the same attacks run against the verification alone, where
// the tests leave out one check at a time, and against the whole sign-in, with its
// journal. It must not be used by anything but tests: whoever has its keys is
// believed by whoever trusts them.
package attacktest
