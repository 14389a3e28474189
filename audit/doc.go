// Package audit is the journal: what happened, written down before it takes
// effect, per tenant, encrypted and hash-chained, and everything that reads it.
//
// It exists because of promise P1: a sign-in, a refusal, a revocation or an
// access decision has its record before anybody feels it. Auth events and
// admin changes are fsynced first ([Journal.Commit]), access decisions are
// written first and fsynced within a second ([Journal.Write]). Search, alerts
// and exports read from the journal with cursors of their own and can never
// hold up a request.
//
// On disk it is a folder per tenant, in it a folder per node, in that segments
// (package audit/segment) named for their first record. When a segment cannot be
// written any more, whatever the reason, the calls that need it fail with the
// fault "journal-unavailable" or that of the keys (P7), and the next that is not
// too soon goes on in a new one, whose first record tells of the interruption.
// [Index.Verify] checks that they are as they were written, [Reader.Verify] does
// so without a running gateway, and [Verify] follows their chain without a key.
//
// It must not decide anything, and it must not hold a secret: an event's
// fields are classified, and what is not classified is left out.
package audit
