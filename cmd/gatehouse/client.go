package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/identity"
)

// target is the gateway that a command talks to: the admin socket in a data
// folder, whose file mode is the authentication, or a server with a token.
type target struct {
	data   string
	server string
	token  string
	tenant string
	output format
}

// format is how a command prints its result. Anything but text and json is
// refused while flags are read, before a command has done anything.
type format string

const (
	asText format = "text"
	asJSON format = "json"
)

func (f *format) String() string { return string(*f) }

// Type is what help calls the value.
func (f *format) Type() string { return "format" }

// Set takes a value from the command line.
func (f *format) Set(value string) error {
	if *f = format(value); *f != asText && *f != asJSON {
		return errors.New("it is text or json")
	}
	return nil
}

// bind adds the flags that every command towards a running gateway has.
func (t *target) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&t.data, "data", defaultData(), "data folder of the gateway, where its admin socket is")
	flags.StringVar(&t.server, "server", "", "talk to this URL with --token instead of the admin socket")
	flags.StringVar(&t.token, "token", "", "API token for --server (or the environment's GATEHOUSE_TOKEN)")
	t.output = asText
	flags.VarP(&t.output, "output", "o", "text or json")
}

// bindTenant adds --tenant, without which the command makes no sense; a server
// is one tenant's own host.
func (t *target) bindTenant(cmd *cobra.Command) {
	t.bind(cmd)
	cmd.Flags().StringVar(&t.tenant, "tenant", "", "the tenant's name (required, but with --server: there the host says it)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if t.tenant == "" && t.server == "" {
			return fmt.Errorf("%w: --tenant is missing", errUsage)
		}
		return nil
	}
}

// defaultData is where a gateway started here keeps its data, else where a
// packaged one does.
func defaultData() string {
	if dir := os.Getenv("GATEHOUSE_DATA"); dir != "" {
		return dir
	}
	if _, err := os.Stat("data"); err == nil {
		return "data"
	}
	return "/var/lib/gatehouse"
}

const socketName = "gatehouse.sock"

// maxAnswer bounds what a command reads from a gateway: 64 MiB.
const maxAnswer = 64 << 20

// do sends one call of the admin API and hands back the open answer.
func (t *target) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	client, base := &http.Client{}, strings.TrimSuffix(t.server, "/")
	if base == "" {
		socket := filepath.Join(t.data, socketName)
		client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}
		tenant := t.tenant
		if tenant == "" {
			tenant = identity.PlatformName
		}
		base = "http://gatehouse/t/" + url.PathEscape(tenant)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/.gatehouse/api/v1/"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if t.server != "" {
		token := cmp.Or(t.token, os.Getenv("GATEHOUSE_TOKEN"))
		if token == "" {
			return nil, fmt.Errorf("%w: --server needs a --token, or GATEHOUSE_TOKEN in the environment", errUsage)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		if t.server == "" {
			return nil, fmt.Errorf("no gateway answers at %s (is it running? name its data folder with --data): %w", filepath.Join(t.data, socketName), err)
		}
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	var problem struct {
		Detail string `json:"detail"`
		Event  string `json:"event_id"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(raw, &problem) != nil || problem.Detail == "" {
		return nil, fmt.Errorf("the gateway answered %s", resp.Status)
	}
	text := problem.Detail
	for _, e := range problem.Errors {
		text += fmt.Sprintf("\n  %s: %s", e.Location, e.Message)
	}
	if problem.Event != "" {
		text += " (event " + problem.Event + ")"
	}
	return nil, errors.New(text)
}

// call sends one call with a time limit and decodes the answer into out.
func (t *target) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := t.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}

// page is the admin API's list answer.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor"`
}

// list reads every page of a list; it is never nil, so that its JSON is [].
func list[T any](ctx context.Context, t *target, path string, query url.Values) ([]T, error) {
	all := []T{}
	for {
		var p page[T]
		if err := t.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" {
			return all, nil
		}
		query.Set("cursor", p.Next)
	}
}

// print writes v as JSON on stdout, or calls text with a table writer.
func (t *target) print(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	if t.output == asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// tell says to people what was done, where a command has no result to print.
func tell(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}
