// Package model is the protocol of internal/cluster in small: a publisher, a node
// that serves, Redis, SQL and a clock of few ticks. [Check] takes every order in
// which their steps and faults can come, and looks for one that breaks promise P2:
// a publication has returned, and the session that it ends is served.
//
// It exists because the cases in which a lease, a log and two databases fail one
// after the other are too many for tests with real parts, and for the eye.
// docs/sessions.md says what is modelled and what is left out. It stands for the
// protocol and shares no code with it; nothing but tests may import it.
package model
