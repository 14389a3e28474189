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
	"time"

	"github.com/spf13/cobra"

	"gatehouse/audit"
	"gatehouse/gateway"
	"gatehouse/identity"
)

// errReported ends a command whose finding is already on the screen.
var errReported = errors.New("reported")

func newAudit() *cobra.Command {
	return group("audit", "Read, export and verify the journal", auditTail(), auditExport(), auditVerify())
}

// files are the journal files of a data folder: a journal is append-only, so
// reading it beside a running gateway is safe.
type files struct {
	target
	kek, dataKeys string
}

func (f *files) bindFiles(cmd *cobra.Command) {
	f.bindGateway(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return f.checkServer(cmd.Context()) }
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "the tenant's name")
	cmd.Flags().StringVar(&f.kek, "keys", "", "key-encryption key as in the config (default: kek.key in the data folder)")
	cmd.Flags().StringVar(&f.dataKeys, "data-keys", "", "folder of the tenants' data keys as in the config (default: keys in the data folder)")
}

// open opens the journals and gives the tenants' ids by name: as many as can be
// read, also beside an error.
func (f *files) open(ctx context.Context) (*audit.Reader, map[string]identity.TenantID, error) {
	reader, err := gateway.OpenJournal(f.data, f.kek, f.dataKeys)
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

func auditExport() *cobra.Command {
	var (
		f                     files
		from, to, kind, shape string
	)
	cmd := &cobra.Command{
		Annotations: map[string]string{insteadOfOutput: "choose with --format"},

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
			n, err := audit.Export(ctx, cmd.OutOrStdout(), shape, chosen(reader.Read(ctx, tenant, nil), audit.Type(kind), start, end))
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
		query.Set("from", start.Format(time.RFC3339Nano))
	}
	if !end.IsZero() {
		query.Set("to", end.Format(time.RFC3339Nano))
	}
	resp, err := f.do(cmd.Context(), http.MethodGet, "audit/export?"+query.Encode(), nil, nil)
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
		Short: "Check that the journal is whole, or name the place where it is not",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			reports, names, err := f.verify(cmd.Context())
			if err != nil {
				return err
			}
			whole := true
			err = f.output.print(cmd, reports, func(w io.Writer) {
				for _, r := range reports {
					name := cmp.Or(names[r.Tenant], string(r.Tenant))
					for _, p := range r.Problems {
						_, _ = fmt.Fprintf(w, "%s: BROKEN at %s\n", name, p)
					}
					if len(r.Problems) == 0 {
						_, _ = fmt.Fprintf(w, "%s: %s\n", name, verdict(r))
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
	f.output.bind(cmd)
	return cmd
}

// verdict says of a journal without problems how far that goes.
func verdict(r audit.Report) string {
	if r.Opened == r.Records && r.Unopened == "" {
		return fmt.Sprintf("whole, %d records in %d files, each opened with its key", r.Records, r.Segments)
	}
	return fmt.Sprintf("only the chain was checked, and is whole: %d records in %d files, %d opened with their key (%s); whoever can write the files can compute such a chain",
		r.Records, r.Segments, r.Opened, cmp.Or(r.Unopened, "the gateway opens none"))
}

// verify checks the journals of all tenants, of one, or of a server's, and
// gives what the tenants are called.
func (f *files) verify(ctx context.Context) ([]audit.Report, map[identity.TenantID]string, error) {
	names := map[identity.TenantID]string{}
	if f.server != "" {
		var who served
		if err := f.call(ctx, http.MethodGet, "me", nil, &who); err != nil {
			return nil, nil, err
		}
		report := audit.Report{Tenant: who.Tenant.ID}
		names[who.Tenant.ID] = who.Tenant.Name
		err := f.call(ctx, http.MethodGet, "audit/verify", nil, &report)
		return []audit.Report{report}, names, err
	}
	// Names stand in a journal, and the key to it may be gone: neither must keep
	// anybody from verifying the chain, which needs no key.
	reader, ids, unread := f.open(ctx)
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
		var report audit.Report
		if reader != nil {
			report, err = reader.Verify(ctx, id)
		} else if report, err = audit.Verify(ctx, gateway.JournalDir(f.data), id); unread != nil {
			report.Unopened = unread.Error()
		}
		if err != nil {
			return nil, nil, err
		}
		reports = append(reports, report)
	}
	return reports, names, nil
}
