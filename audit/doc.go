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
// It must not decide anything, and it must not hold a secret: an event's
// fields are classified, and what is not classified is left out.
package audit
