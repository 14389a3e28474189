package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"gatehouse/api/resources"
)

type appliedView struct {
	Kind   string `json:"kind"`
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name"`
	Action string `json:"action"`
	Detail string `json:"detail,omitempty"`
}

type applyView struct {
	Results []appliedView `json:"results"`
	Failed  bool          `json:"failed"`
	DryRun  bool          `json:"dry_run"`
}

func newApply() *cobra.Command {
	var (
		t    target
		path string
		dry  bool
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE|-",
		Short: "Make tenants, connections, teams, roles and assignments what a file says",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			documents, err := readDocuments(path, cmd.InOrStdin())
			if err != nil {
				return err
			}
			var v applyView
			in := map[string]any{"documents": documents, "dry_run": dry}
			if err := t.call(cmd.Context(), http.MethodPost, "platform/apply", in, &v); err != nil {
				return err
			}
			err = t.output.print(cmd, v, func(w io.Writer) {
				for _, r := range v.Results {
					name := r.Name
					if r.Tenant != "" {
						name = r.Tenant + "/" + name
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Action, r.Kind, name, r.Detail)
				}
			})
			if err == nil && v.Failed {
				return errReported
			}
			return err
		},
	}
	t.bind(cmd)
	cmd.Flags().StringVarP(&path, "file", "f", "", "the file, or - for standard input (required)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be done, and do nothing")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if path == "" {
			return fmt.Errorf("%w: -f is missing", errUsage)
		}
		return nil
	}
	return cmd
}

// maxReferenced bounds a file that a document refers to.
const maxReferenced = 512 << 10

// readDocuments parses a file; references are resolved here, where the file is.
func readDocuments(path string, stdin io.Reader) ([]resources.Document, error) {
	data, name := []byte(nil), path
	var err error
	if path == "-" {
		name = "standard input"
		data, err = readAtMost(stdin, resources.MaxBytes)
	} else {
		data, err = readFile(path, resources.MaxBytes)
	}
	if err != nil {
		return nil, err
	}
	return resources.Parse(name, data, resources.Surroundings{
		LookupEnv: os.LookupEnv,
		ReadFile:  func(path string) ([]byte, error) { return readFile(path, maxReferenced) },
	})
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := readAtMost(f, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, errors.New("the file is too large")
	}
	return data, err
}

func newExport() *cobra.Command {
	var t target
	var only string
	cmd := &cobra.Command{
		Use:   "export [--tenant T]",
		Short: "Print the resources of one or all tenants as YAML, without secrets",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if only != "" {
				query.Set("tenant", only)
			}
			var v struct {
				Documents []resources.Document `json:"documents"`
			}
			if err := t.call(cmd.Context(), http.MethodGet, "platform/export?"+query.Encode(), nil, &v); err != nil {
				return err
			}
			if t.output == asJSON {
				return t.output.print(cmd, v.Documents, nil)
			}
			return resources.Encode(cmd.OutOrStdout(), v.Documents)
		},
	}
	t.bind(cmd)
	cmd.Flags().StringVar(&only, "tenant", "", "only this tenant")
	return cmd
}
