package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// round is what one round of one subject gave.
type round struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // per request
	rss       int64
}

// subject is one thing that is measured.
type subject struct {
	name   string
	target target
	pid    int
	rounds []round
}

// bareProxy is the subject that the others are compared with.
const bareProxy = "Go httputil.ReverseProxy"

// writeTable prints the medians. The ratio is of CPU per request: the load
// generator and the subjects share the cores, so throughput says less.
func writeTable(w io.Writer, subjects []*subject) error {
	var base time.Duration
	for _, s := range subjects {
		if s.name == bareProxy {
			base = median(s.rounds, func(r round) time.Duration { return r.cpu })
		}
	}
	var text strings.Builder
	text.WriteString("| subject | requests/s | p50 | p99 | CPU µs/request | x bare Go proxy | RSS MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range subjects {
		cpu := median(s.rounds, func(r round) time.Duration { return r.cpu })
		ratio := "-"
		if base > 0 {
			ratio = fmt.Sprintf("%.2f", float64(cpu)/float64(base))
		}
		fmt.Fprintf(&text, "| %s | %.0f | %s | %s | %.1f | %s | %d |\n", s.name, median(s.rounds, func(r round) float64 { return r.perSecond }),
			milliseconds(median(s.rounds, func(r round) time.Duration { return r.p50 })), milliseconds(median(s.rounds, func(r round) time.Duration { return r.p99 })),
			float64(cpu)/float64(time.Microsecond), ratio, median(s.rounds, func(r round) int64 { return r.rss })>>20)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func median[T cmp.Ordered](rounds []round, of func(round) T) T {
	values := make([]T, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	slices.Sort(values)
	if len(values) == 0 {
		var none T
		return none
	}
	return values[len(values)/2]
}
