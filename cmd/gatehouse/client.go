package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/demo"
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

	client *http.Client // made at the first call
	stored bool         // what is shown to the server is of a sign-in here
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

// bind adds -o.
func (f *format) bind(cmd *cobra.Command) {
	*f = asText
	cmd.Flags().VarP(f, "output", "o", "text or json")
}

// bindGateway adds the flags that say which gateway is meant.
func (t *target) bindGateway(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&t.data, "data", defaultData(), "data folder of the gateway, where its admin socket is")
	flags.StringVar(&t.server, "server", "", "talk to this URL instead of the admin socket, with --token or after gatehouse login")
	flags.StringVar(&t.token, "token", "", "API token for --server (or the environment's GATEHOUSE_TOKEN)")
}

// bind adds the flags that every command towards a running gateway has.
func (t *target) bind(cmd *cobra.Command) {
	t.bindGateway(cmd)
	t.output.bind(cmd)
}

// bindTenant adds --tenant, without which the command makes no sense; a server
// is one tenant's own host.
func (t *target) bindTenant(cmd *cobra.Command) {
	t.bind(cmd)
	cmd.Flags().StringVar(&t.tenant, "tenant", "", "the tenant's name (required, but with --server: there the host says it)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if t.tenant == "" && t.server == "" {
			return fmt.Errorf("%w: --tenant is missing", errUsage)
		}
		return t.checkServer(cmd.Context())
	}
}

// served is whom a server serves.
type served struct {
	Tenant struct {
		ID   identity.TenantID `json:"id"`
		Name string            `json:"name"`
	} `json:"tenant"`
}

// checkServer refuses a server that is not the named tenant's: there the host
// decides whose data it is, whatever the command says.
func (t *target) checkServer(ctx context.Context) error {
	if t.server == "" || t.tenant == "" {
		return nil
	}
	var who served
	if err := t.call(ctx, http.MethodGet, "me", nil, &who); err != nil {
		return err
	}
	if t.tenant != who.Tenant.Name && t.tenant != string(who.Tenant.ID) {
		return fmt.Errorf("%s serves the tenant %s, not %s", t.server, who.Tenant.Name, t.tenant)
	}
	return nil
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

// refusal is an answer of the gateway that is not what was asked for.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// do sends one call of the admin API and hands back the open answer. fields are
// header fields beside the usual ones.
func (t *target) do(ctx context.Context, method, path string, in any, fields http.Header) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, t.base()+"/.gatehouse/api/v1/"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	maps.Copy(req.Header, fields)
	req.Header.Set("User-Agent", "gatehouse/"+version)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if t.server != "" {
		token, err := t.credential()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if t.client == nil {
		t.client = t.newClient()
	}
	resp, err := t.client.Do(req)
	if err != nil {
		if t.server == "" {
			return nil, fmt.Errorf("no gateway answers at %s (is it running? name its data folder with --data): %w", t.socket(), err)
		}
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	no := refusalIn(resp)
	if t.stored && resp.StatusCode == http.StatusUnauthorized {
		no.text += "\nSign in again: gatehouse login --server " + t.server
	}
	return nil, no
}

// credential is what a server is shown: what the command line or the environment
// says, else what a sign-in here has left.
func (t *target) credential() (string, error) {
	if token := cmp.Or(t.token, os.Getenv("GATEHOUSE_TOKEN")); token != "" {
		return token, nil
	}
	kept, _, err := storedCredential(t.server)
	if err != nil {
		return "", err
	}
	if kept.Token == "" {
		return "", fmt.Errorf("%w: --server needs a --token, GATEHOUSE_TOKEN in the environment, or a sign-in (gatehouse login --server %s)", errUsage, t.server)
	}
	t.stored = true
	return kept.Token, nil
}

func (t *target) socket() string { return filepath.Join(t.data, socketName) }

// base is what every address of the API begins with.
func (t *target) base() string {
	if t.server != "" {
		return strings.TrimSuffix(t.server, "/")
	}
	return "http://gatehouse/t/" + url.PathEscape(cmp.Or(t.tenant, identity.PlatformName))
}

// newClient makes the way to the gateway. Whole calls have a limit of their own
// ([target.call]); exports and streams may take long. It follows no redirect:
// the API has none, and the token is for this host alone.
func (t *target) newClient() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: demo.DialLocal,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, ForceAttemptHTTP2: true}
	if t.server == "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", t.socket())
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// refusalIn reads why the gateway refuses.
func refusalIn(resp *http.Response) *refusal {
	var problem struct {
		Detail string `json:"detail"`
		Event  string `json:"event_id"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what is cut short does not parse
	if json.Unmarshal(raw, &problem) != nil || problem.Detail == "" {
		return &refusal{resp.StatusCode, "the gateway answered " + resp.Status}
	}
	text := problem.Detail
	for _, e := range problem.Errors {
		text += fmt.Sprintf("\n  %s: %s", e.Location, e.Message)
	}
	if problem.Event != "" {
		text += " (event " + problem.Event + ")"
	}
	return &refusal{resp.StatusCode, text}
}

// call sends one call with a time limit and decodes the answer into out.
func (t *target) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := t.do(ctx, method, path, in, nil)
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

// pages reads a list page by page, as far as it is wanted.
func pages[T any](ctx context.Context, t *target, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			var p page[T]
			if err := t.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &p); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == "" {
				return
			}
			query.Set("cursor", p.Next)
		}
	}
}

// list reads a whole list; it is never nil, so that its JSON is [].
func list[T any](ctx context.Context, t *target, path string, query url.Values) ([]T, error) {
	all := []T{}
	for item, err := range pages[T](ctx, t, path, query) {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// print writes v as JSON on stdout, or calls text with a table writer.
func (f format) print(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	if f == asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// done says what was done where there is no more to show: to people on stderr,
// to programs on stdout.
func (f format) done(cmd *cobra.Command, v any, sentence string) error {
	if f == asJSON {
		return f.print(cmd, v, nil)
	}
	tell(cmd, "%s", sentence)
	return nil
}

// tell says something to people, beside the result.
func tell(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}
