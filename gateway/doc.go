// Package gateway joins the rooms to one running gateway: it opens the stores,
// hands every room what it needs, serves, watches and drains.
//
// It exists so that no room needs to know another on its floor, and so that
// the command line, the demo, the tests and the benchmarks run the very same
// product. It is struct literals and start and stop order; a decision taken
// here belongs in a room.
package gateway
