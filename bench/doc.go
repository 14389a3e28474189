// Command bench measures the gate side by side with plain proxies and prints
// one Markdown table: what identity, decisions and the journal cost on top of
// forwarding.
//
// It exists because CPU per request is a promise of this project, and because
// numbers from different days or machines cannot be compared: all subjects run
// here, now, in interleaved rounds, each in processes of its own so that its
// CPU time can be told from the load generator's. Medians are shown. It starts
// everything itself, on loopback, and must not need anything that is not
// installed: subjects that are missing are left out.
//
//	BENCH_ROUNDS  rounds per subject (5)
//	BENCH_SECONDS seconds per round (3)
//	BENCH_CONNS   connections, each with one request at a time (32)
//	OAUTH2_PROXY  path of an oauth2-proxy binary to measure as well
package main
