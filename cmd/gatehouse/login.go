package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

const (
	cliClient       = "gatehouse-cli"
	grantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"
	// What a server may tell a program to wait, within reason.
	minPace, maxPace, maxWait = time.Second, time.Minute, time.Hour
	// maxOAuthAnswer bounds what is read of an answer.
	maxOAuthAnswer = 64 << 10
)

// deviceCodes is what a server gives a program that asks (RFC 8628 §3.2).
type deviceCodes struct {
	Device   string `json:"device_code"`
	User     string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Whole    string `json:"verification_uri_complete"`
	Expires  int    `json:"expires_in"`
	Interval int    `json:"interval"`
}

// accessToken is what becomes of it (RFC 6749 §5.1).
type accessToken struct {
	Token   string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Device  string `json:"device_token"` // by which this machine is known again
}

// oauthRefusal is an answer that is an error (RFC 6749 §5.2), or none that makes
// sense.
type oauthRefusal struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Event       string `json:"event_id"`
	status      int
	after       time.Duration // Retry-After
}

func (r *oauthRefusal) Error() string {
	text := cmp.Or(r.Description, r.Code, "the gateway answered "+strconv.Itoa(r.status)+" "+http.StatusText(r.status))
	if r.Event != "" {
		text += " (event " + r.Event + ")"
	}
	return onOneLine(text)
}

// onOneLine keeps what a server says from doing things to a terminal.
func onOneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

// signedIn is what login and whoami tell; a secret it is not.
type signedIn struct {
	Server  string    `json:"server"`
	Tenant  string    `json:"tenant,omitempty"`
	User    string    `json:"user,omitempty"`
	Expires time.Time `json:"expires_at,omitzero"`
}

func newLogin() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "login --server URL",
		Short: "Sign in on this command line, with a browser on any machine",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			origin, err := serverOrigin(t.server)
			if err != nil {
				return err
			}
			t.server = origin
			in, err := login(cmd, &t)
			if err != nil {
				return err
			}
			sentence := "Signed in at " + in.Server
			if in.User != "" {
				sentence += " as " + in.User
			}
			if !in.Expires.IsZero() {
				sentence += ", until " + in.Expires.Local().Format(time.DateTime) + " at the latest"
			}
			if os.Getenv("GATEHOUSE_TOKEN") != "" {
				tell(cmd, "GATEHOUSE_TOKEN is set in the environment, and commands go by that first.")
			}
			return t.output.done(cmd, in, onOneLine(sentence)+".")
		},
	}
	bindServer(cmd, &t)
	t.output.bind(cmd)
	return cmd
}

// bindServer adds --server, without which the command makes no sense.
func bindServer(cmd *cobra.Command, t *target) {
	cmd.Flags().StringVar(&t.server, "server", "", "the tenant's own address, such as https://acme.app.example.com (required)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if t.server == "" {
			return fmt.Errorf("%w: --server is missing", errUsage)
		}
		return nil
	}
}

// login asks, shows the code, waits for what the person says, and keeps what comes
// of it in place of what was there, which it ends.
func login(cmd *cobra.Command, t *target) (signedIn, error) {
	ctx := cmd.Context()
	_, device, err := storedCredential(t.server) // before anybody is bothered
	if err != nil {
		return signedIn{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // it is a courtesy
	}
	var codes deviceCodes
	if err := t.oauth(ctx, "device_authorization", url.Values{"client_id": {cliClient}, "device_name": {onOneLine(host)}}, &codes); err != nil {
		return signedIn{}, err
	}
	if codes.Device == "" || codes.User == "" || !strings.HasPrefix(codes.URI, t.server+"/") || !strings.HasPrefix(codes.Whole, t.server+"/") {
		return signedIn{}, errors.New("the gateway's answer makes no sense")
	}
	life := within(time.Duration(codes.Expires)*time.Second, minPace, maxWait)
	tell(cmd, "Open in a browser   %s", onOneLine(codes.URI))
	tell(cmd, "and enter the code  %s", onOneLine(codes.User))
	tell(cmd, "or open             %s", onOneLine(codes.Whole))
	tell(cmd, "The page must show the same code. It is good for %v.", life.Round(time.Minute))
	got, err := t.awaitToken(ctx, codes, device, life)
	if err != nil {
		return signedIn{}, err
	}
	made := credential{Token: got.Token}
	if got.Expires > 0 {
		made.Expires = time.Now().Add(time.Duration(got.Expires) * time.Second).UTC().Truncate(time.Second)
	}
	t.token = made.Token
	var who me
	if err := t.call(ctx, http.MethodGet, "me", nil, &who); err != nil {
		return signedIn{}, errors.Join(fmt.Errorf("signed in, but to no avail: %w", err), t.endSession(ctx, made.Token))
	}
	made.Tenant, made.User = who.Tenant.Name, who.name()
	var before credential // of this moment: another command may have signed in meanwhile
	err = changeCredentials(ctx, func(c *credentials) {
		before, c.Servers[t.server] = c.Servers[t.server], made
		if got.Device != "" {
			c.Devices[t.server] = got.Device
		}
	})
	if err != nil {
		return signedIn{}, errors.Join(fmt.Errorf("the sign-in cannot be kept: %w", err), t.endSession(ctx, made.Token))
	}
	if before.Token != "" {
		if err := t.endSession(ctx, before.Token); err != nil {
			tell(cmd, "The sign-in that was here before could not be ended: %v", err)
		}
	}
	return signedIn{Server: t.server, Tenant: made.Tenant, User: made.User, Expires: made.Expires}, nil
}

// awaitToken asks until there is an answer (RFC 8628 §3.5).
func (t *target) awaitToken(ctx context.Context, codes deviceCodes, device string, life time.Duration) (accessToken, error) {
	pace := within(time.Duration(codes.Interval)*time.Second, minPace, maxPace)
	over := time.NewTimer(life)
	defer over.Stop()
	for {
		wait := time.NewTimer(pace)
		select {
		case <-wait.C:
		case <-over.C:
			wait.Stop()
			return accessToken{}, errLate
		case <-ctx.Done():
			wait.Stop()
			return accessToken{}, errors.New("interrupted; nobody was signed in")
		}
		var got accessToken
		err := t.oauth(ctx, "token", url.Values{"client_id": {cliClient}, "grant_type": {grantDeviceCode}, "device_code": {codes.Device}, "device_token": {device}}, &got)
		no, said := errors.AsType[*oauthRefusal](err)
		switch {
		case err == nil && got.Token != "" && strings.EqualFold(got.Type, "Bearer"):
			return got, nil
		case err == nil:
			return accessToken{}, errors.New("the gateway's answer makes no sense")
		case !said: // out of reach: less often from now on
			pace = min(2*pace, maxPace)
		case no.Code == "authorization_pending":
		case no.Code == "slow_down":
			pace = min(pace+5*time.Second, maxPace)
		case no.Code == "access_denied":
			return accessToken{}, fmt.Errorf("denied: %w", no)
		case no.Code == "expired_token":
			return accessToken{}, errLate
		case no.status == http.StatusTooManyRequests, no.status >= http.StatusInternalServerError:
			pace = min(max(2*pace, no.after), maxPace)
		default:
			return accessToken{}, no
		}
	}
}

var errLate = errors.New("nobody has allowed it in time; run the command again")

func within(d, least, most time.Duration) time.Duration { return min(max(d, least), most) }

// oauth posts a form to where programs ask.
func (t *target) oauth(ctx context.Context, path string, form url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base()+"/.gatehouse/oauth/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "gatehouse/"+version+" ("+runtime.GOOS+"; "+runtime.GOARCH+")")
	if t.client == nil {
		t.client = t.newClient()
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxOAuthAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(raw, out); err != nil {
			return fmt.Errorf("read the gateway's answer: %w", err)
		}
		return nil
	}
	no := &oauthRefusal{status: resp.StatusCode}
	if json.Unmarshal(raw, no) != nil || no.Code == "" {
		resp.Body = io.NopCloser(strings.NewReader(string(raw)))
		no.Description = refusalIn(resp).text
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		no.after = within(time.Duration(min(seconds, 3600))*time.Second, 0, maxPace)
	}
	return no
}

// endSession ends a session at the server (RFC 7009).
func (t *target) endSession(ctx context.Context, token string) error {
	return t.oauth(ctx, "revoke", url.Values{"client_id": {cliClient}, "token": {token}, "token_type_hint": {"access_token"}}, nil)
}

func newLogout() *cobra.Command {
	var (
		t      target
		forget bool
	)
	cmd := &cobra.Command{
		Use:   "logout --server URL",
		Short: "Sign this command line out, at the server as well",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			origin, err := serverOrigin(t.server)
			if err != nil {
				return err
			}
			t.server = origin
			kept, _, err := storedCredential(origin)
			if err != nil {
				return err
			}
			if kept.Token == "" {
				return fmt.Errorf("nobody is signed in at %s here", origin)
			}
			if err := t.endSession(cmd.Context(), kept.Token); err != nil {
				if !forget {
					return fmt.Errorf("the server does not sign out, so the sign-in stays here as well (--forget deletes it all the same): %w", err)
				}
				tell(cmd, "The server still knows the sign-in: %v. End it on the page of your devices.", err)
			}
			err = changeCredentials(cmd.Context(), func(c *credentials) {
				if c.Servers[origin].Token == kept.Token { // and not one that came since
					delete(c.Servers, origin)
				}
			})
			if err != nil {
				return err
			}
			return t.output.done(cmd, map[string]any{"server": origin, "signed_out": true}, "Signed out at "+origin+".")
		},
	}
	bindServer(cmd, &t)
	t.output.bind(cmd)
	cmd.Flags().BoolVar(&forget, "forget", false, "delete the sign-in here even if the server cannot be told")
	return cmd
}

// me is the caller as the gateway sees it.
type me struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Email  string `json:"email,omitempty"`
	Name   string `json:"name,omitempty"`
	Tenant struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"tenant"`
	Session    string     `json:"session,omitempty"`
	SignedInAt *time.Time `json:"signed_in_at,omitempty"`
	Roles      []string   `json:"roles"`
}

func (m *me) name() string { return cmp.Or(m.Email, m.Name, m.ID) }

func newWhoami() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show as whom a gateway knows this command line",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var who me
			if err := t.call(cmd.Context(), http.MethodGet, "me", nil, &who); err != nil {
				return err
			}
			return t.output.print(cmd, who, func(w io.Writer) {
				for _, line := range [][2]string{{"WHO", who.name()}, {"KIND", who.Kind}, {"TENANT", who.Tenant.Name}, {"ROLES", strings.Join(who.Roles, ", ")}, {"SESSION", who.Session}} {
					if line[1] != "" {
						_, _ = fmt.Fprintf(w, "%s\t%s\n", line[0], onOneLine(line[1]))
					}
				}
			})
		},
	}
	t.bind(cmd)
	return cmd
}
