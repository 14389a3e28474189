package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// run measures, or plays one of the parts as a child process of itself.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return play(ctx, args)
	}
	plan, err := planFrom(os.Getenv)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the system's temporary folder
	subjects, stop, err := startAll(ctx, dir)
	defer stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d subjects, %d rounds of %v, %d connections: about %v\n", len(subjects), plan.rounds, plan.round,
		plan.conns, (time.Duration(len(subjects)) * (warmUp + time.Duration(plan.rounds)*plan.round)).Round(time.Second))
	if err := measure(ctx, plan, subjects); err != nil {
		return err
	}
	fmt.Printf("%s, %d cores, %s; TLS 1.3, HTTP/1.1 keep-alive, 1 KiB answers, %d connections, medians of %d interleaved rounds of %v.\n\n",
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), runtime.Version(), plan.conns, plan.rounds, plan.round)
	return writeTable(os.Stdout, subjects)
}

// plan is how much is measured.
type plan struct {
	rounds, conns int
	round         time.Duration
}

const warmUp = time.Second

var errPlan = errors.New("must be a number from 1 to 1000")

func planFrom(env func(string) string) (p plan, err error) {
	number := func(name, otherwise string) int {
		n, convErr := strconv.Atoi(cmp.Or(env(name), otherwise))
		if convErr != nil || n < 1 || n > 1000 {
			err = errors.Join(err, fmt.Errorf("%s %w", name, errPlan))
		}
		return n
	}
	p.rounds, p.conns = number("BENCH_ROUNDS", "5"), number("BENCH_CONNS", "32")
	p.round = time.Duration(number("BENCH_SECONDS", "3")) * time.Second
	return p, err
}

// measure loads the subjects one after the other, round by round, so that
// whatever else the machine does hits all of them alike.
func measure(ctx context.Context, p plan, subjects []*subject) error {
	for _, s := range subjects {
		if _, err := load(ctx, s.target, p.conns, warmUp); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for range p.rounds {
		for _, s := range subjects {
			before, err := usageOf(s.pid)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			done, err := load(ctx, s.target, p.conns, p.round)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			after, err := usageOf(s.pid)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.rounds = append(s.rounds, round{perSecond: float64(done.requests) / done.took.Seconds(), p50: done.quantile(0.5), p99: done.quantile(0.99),
				cpu: (after.cpu - before.cpu) / time.Duration(max(1, done.requests)), rss: after.rss})
		}
	}
	return nil
}
