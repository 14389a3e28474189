package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/audit"
)

const (
	// followEvery is how often tail --follow looks for new records in files.
	followEvery = 300 * time.Millisecond
	// maxLines bounds what tail holds in memory.
	maxLines = 1_000_000
)

func auditTail() *cobra.Command {
	var (
		f      files
		follow bool
		lines  int
	)
	cmd := &cobra.Command{
		Use:   "tail --tenant T",
		Short: "Show the newest records of the journal",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tail := f.tailFiles
			if f.server != "" {
				tail = f.tailServer
			}
			for e, err := range tail(cmd, min(max(lines, 1), maxLines), follow) {
				switch {
				case err != nil && follow && cmd.Context().Err() != nil:
					return nil // whoever follows ends it so
				case err != nil:
					return err
				}
				if err := f.printEvent(cmd, e); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.bindFiles(cmd)
	f.output.bind(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as records come")
	cmd.Flags().IntVarP(&lines, "lines", "n", 1000, "how many of the newest records")
	return cmd
}

// tailFiles gives the newest n records of a data folder and, if they are to be
// followed, what comes.
func (f *files) tailFiles(cmd *cobra.Command, n int, follow bool) iter.Seq2[audit.Event, error] {
	ctx := cmd.Context()
	return func(yield func(audit.Event, error) bool) {
		reader, tenant, err := f.journal(ctx)
		if err != nil {
			yield(audit.Event{}, err)
			return
		}
		seen := audit.Cursor{}
		last, err := newest(reader.Read(ctx, tenant, seen), n)
		if err != nil {
			yield(audit.Event{}, err)
			return
		}
		for _, e := range last {
			if !yield(e, nil) {
				return
			}
		}
		for follow {
			select {
			case <-ctx.Done():
				return
			case <-time.After(followEvery):
			}
			for e, err := range reader.Read(ctx, tenant, seen) {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// newest keeps the last n of events by time: several nodes' come one after the
// other.
func newest(events iter.Seq2[audit.Event, error], n int) ([]audit.Event, error) {
	var last []audit.Event
	keep := func() {
		slices.SortStableFunc(last, func(a, b audit.Event) int { return a.Time.Compare(b.Time) })
		last = slices.Delete(last, 0, max(0, len(last)-n))
	}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		if last = append(last, e); len(last) >= 2*n {
			keep()
		}
	}
	keep()
	return last, nil
}

// printEvent prints one record, for programs as JSON on a line of its own.
func (f *files) printEvent(cmd *cobra.Command, e audit.Event) error {
	if f.output == asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(e)
	}
	return f.output.print(cmd, e, func(w io.Writer) {
		what := strings.TrimSpace(e.Method + " " + e.Path)
		if what == "" {
			what = cmp.Or(e.Target.Name, e.Target.ID, "-")
		}
		if e.Count > 1 {
			what = fmt.Sprintf("%s (%d times)", what, e.Count)
		}
		_, _ = fmt.Fprintf(w, "%s\t%-18s\t%-8s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format("15:04:05.000"), e.Type, e.Outcome,
			cmp.Or(e.Actor.Name, e.Actor.ID, string(e.Actor.Kind)), what, cmp.Or(e.Reason, "-"), e.ID)
	})
}
