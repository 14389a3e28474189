package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/audit"
	"gatehouse/gateway"
	"gatehouse/identity"
)

// errReported ends a command whose finding is already on the screen.
var errReported = errors.New("reported")

// followEvery is how often tail --follow looks for new records.
const followEvery = 300 * time.Millisecond

func newAudit() *cobra.Command {
	return group("audit", "Read, export and verify the journal", auditTail(), auditExport(), auditVerify())
}

// files are the journal files of a data folder: a journal is append-only, so
// reading it beside a running gateway is safe.
type files struct {
	target
	kek string
}

func (f *files) bindFiles(cmd *cobra.Command) {
	f.bind(cmd)
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "the tenant's name")
	cmd.Flags().StringVar(&f.kek, "keys", "", "key-encryption key as in the config (default: kek.key in the data folder)")
}

// open opens the journals and gives the tenants' ids by name: as many as can be
// read, also beside an error.
func (f *files) open(ctx context.Context) (*audit.Reader, map[string]identity.TenantID, error) {
	reader, err := gateway.OpenJournal(f.data, f.kek)
	if err != nil {
		return nil, nil, err
	}
	ids, err := gateway.StoredTenants(ctx, reader)
	return reader, ids, err
}

// journal opens one tenant's records for reading.
func (f *files) journal(ctx context.Context) (*audit.Reader, identity.TenantID, error) {
	if f.tenant == "" {
		return nil, "", fmt.Errorf("%w: --tenant is missing", errUsage)
	}
	reader, ids, err := f.open(ctx)
	if id, ok := ids[f.tenant]; ok {
		return reader, id, nil
	}
	return nil, "", errors.Join(fmt.Errorf("there is no tenant %q in %s", f.tenant, f.data), err)
}

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
			if f.server != "" {
				return fmt.Errorf("%w: tail reads a data folder; from a server, use audit export", errUsage)
			}
			ctx := cmd.Context()
			reader, tenant, err := f.journal(ctx)
			if err != nil {
				return err
			}
			last, err := newest(reader.Read(ctx, tenant, 0), lines)
			if err != nil {
				return err
			}
			var seen uint64
			for _, e := range last {
				seen = max(seen, e.Seq)
				if err := f.printEvent(cmd, e); err != nil {
					return err
				}
			}
			for follow {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(followEvery):
				}
				for e, err := range reader.Read(ctx, tenant, seen) {
					if err != nil {
						return err
					}
					seen = e.Seq
					if err := f.printEvent(cmd, e); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	f.bindFiles(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as records come")
	cmd.Flags().IntVarP(&lines, "lines", "n", 1000, "how many of the newest records")
	return cmd
}

// newest keeps the last n of events.
func newest(events iter.Seq2[audit.Event, error], n int) ([]audit.Event, error) {
	n = min(max(n, 1), 1_000_000)
	var ring []audit.Event
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		if ring = append(ring, e); len(ring) >= 2*n {
			ring = slices.Delete(ring, 0, len(ring)-n)
		}
	}
	return ring[max(0, len(ring)-n):], nil
}

func (f *files) printEvent(cmd *cobra.Command, e audit.Event) error {
	return f.print(cmd, e, func(w io.Writer) {
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

func auditExport() *cobra.Command {
	var (
		f                     files
		from, to, kind, shape string
	)
	cmd := &cobra.Command{
		Use:   "export --tenant T --format jsonl|csv",
		Short: "Write a tenant's records to stdout",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			start, end, err := parseSpan(from, to)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if f.server != "" {
				return f.exportFromServer(cmd, shape, kind, start, end)
			}
			reader, tenant, err := f.journal(ctx)
			if err != nil {
				return err
			}
			n, err := audit.Export(ctx, cmd.OutOrStdout(), shape, chosen(reader.Read(ctx, tenant, 0), audit.Type(kind), start, end))
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%d records\n", n)
			return nil
		},
	}
	f.bindFiles(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first time, RFC 3339")
	cmd.Flags().StringVar(&to, "to", "", "time before which to stop, RFC 3339")
	cmd.Flags().StringVar(&kind, "type", "", "only this type of event")
	cmd.Flags().StringVar(&shape, "format", "jsonl", "jsonl or csv")
	return cmd
}

func (f *files) exportFromServer(cmd *cobra.Command, shape, kind string, start, end time.Time) error {
	query := url.Values{"format": {shape}}
	if kind != "" {
		query.Set("type", kind)
	}
	if !start.IsZero() {
		query.Set("from", start.Format(time.RFC3339))
	}
	if !end.IsZero() {
		query.Set("to", end.Format(time.RFC3339))
	}
	resp, err := f.do(cmd.Context(), http.MethodGet, "audit/export?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
	return err
}

func chosen(events iter.Seq2[audit.Event, error], kind audit.Type, from, to time.Time) iter.Seq2[audit.Event, error] {
	return func(yield func(audit.Event, error) bool) {
		for e, err := range events {
			if err == nil && (kind != "" && e.Type != kind || e.Time.Before(from) || !to.IsZero() && !e.Time.Before(to)) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func parseSpan(from, to string) (start, end time.Time, err error) {
	if from != "" {
		if start, err = time.Parse(time.RFC3339, from); err != nil {
			return start, end, fmt.Errorf("%w: --from %q is not a time such as 2026-01-31T00:00:00Z", errUsage, from)
		}
	}
	if to != "" {
		if end, err = time.Parse(time.RFC3339, to); err != nil {
			return start, end, fmt.Errorf("%w: --to %q is not a time such as 2026-01-31T00:00:00Z", errUsage, to)
		}
	}
	return start, end, nil
}

func auditVerify() *cobra.Command {
	var f files
	cmd := &cobra.Command{
		Use:   "verify [--tenant T]",
		Short: "Prove that the journal is whole, or name the place where it is not",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			reports, names, err := f.verify(cmd.Context())
			if err != nil {
				return err
			}
			whole := true
			err = f.print(cmd, reports, func(w io.Writer) {
				for _, r := range reports {
					name := cmp.Or(names[r.Tenant], string(r.Tenant), f.server)
					for _, p := range r.Problems {
						_, _ = fmt.Fprintf(w, "%s: BROKEN at %s\n", name, p)
					}
					if len(r.Problems) == 0 {
						_, _ = fmt.Fprintf(w, "%s: whole, %d records in %d files\n", name, r.Records, r.Segments)
					}
				}
			})
			for _, r := range reports {
				whole = whole && len(r.Problems) == 0
			}
			if err == nil && !whole {
				return errReported
			}
			return err
		},
	}
	f.bindFiles(cmd)
	return cmd
}

// verify checks the journals of all tenants, of one, or of a server's, and
// gives what the tenants are called.
func (f *files) verify(ctx context.Context) ([]audit.Report, map[identity.TenantID]string, error) {
	names := map[identity.TenantID]string{}
	if f.server != "" {
		var report audit.Report
		err := f.call(ctx, http.MethodGet, "audit/verify", nil, &report)
		return []audit.Report{report}, names, err
	}
	// Names stand in a journal, and the key to it may be gone: neither must keep
	// anybody from verifying, which needs no key.
	_, ids, unread := f.open(ctx)
	for name, id := range ids {
		names[id] = name
	}
	stored, err := audit.Tenants(gateway.JournalDir(f.data))
	switch {
	case err != nil:
		return nil, nil, err
	case len(stored) == 0:
		return nil, nil, fmt.Errorf("there is no journal in %s", f.data)
	case f.tenant != "":
		id := cmp.Or(ids[f.tenant], identity.TenantID(f.tenant))
		if !slices.Contains(stored, id) {
			return nil, nil, errors.Join(fmt.Errorf("there is no journal of a tenant %q in %s", f.tenant, f.data), unread)
		}
		stored = []identity.TenantID{id}
	}
	var reports []audit.Report
	for _, id := range stored {
		report, err := audit.Verify(ctx, gateway.JournalDir(f.data), id)
		if err != nil {
			return nil, nil, err
		}
		reports = append(reports, report)
	}
	return reports, names, nil
}
