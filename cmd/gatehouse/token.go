package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type tokenView struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scope      string     `json:"scope"`
	Kind       string     `json:"kind"`
	Role       string     `json:"role,omitempty"`
	ClientID   string     `json:"client_id,omitempty"`
	Connection string     `json:"connection,omitempty"`
	Access     []string   `json:"access,omitempty"`
	Owner      string     `json:"owner,omitempty"`
	Secret     string     `json:"secret,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	LastUsed   *time.Time `json:"last_used_at,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
	Successor  string     `json:"successor,omitempty"`
}

// state says whether a token is good, in one word.
func (v tokenView) state(now time.Time) string {
	switch {
	case v.RevokedAt != nil:
		return "revoked"
	case now.After(v.ExpiresAt):
		return "expired"
	case v.Successor != "":
		return "replaced"
	}
	return "valid"
}

// printSecret shows the secret of a token that has just been made.
func (v tokenView) printSecret(cmd *cobra.Command, as format) error {
	if v.ClientID != "" {
		tell(cmd, "OAuth client %s, secret %s, valid until %s.", v.ClientID, v.ID, v.ExpiresAt.Format(time.RFC3339))
	} else {
		tell(cmd, "Token %s, valid until %s.", v.ID, v.ExpiresAt.Format(time.RFC3339))
	}
	tell(cmd, "This is the only time its secret is shown:")
	return as.print(cmd, v, func(w io.Writer) { _, _ = fmt.Fprintln(w, v.Secret) })
}

func newToken() *cobra.Command {
	return group("token", "Create, list, rotate and revoke API and SCIM tokens", tokenCreate(), tokenList(), tokenRotate(), tokenRevoke())
}

func tokenCreate() *cobra.Command {
	var (
		t                                     target
		scope, role, name, expiry, connection string
		access                                []string
		client                                bool
	)
	cmd := &cobra.Command{
		Use:   "create --tenant T --scope scim|api",
		Short: "Create a token; its secret is printed this once",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			days, err := parseDays(expiry)
			if err != nil {
				return err
			}
			if scope == "" {
				return fmt.Errorf("%w: --scope is missing: scim or api", errUsage)
			}
			in := map[string]any{"name": cmp.Or(name, scope+" token"), "scope": scope, "expires_in_days": days}
			if role != "" {
				in["role"] = role
			}
			if connection != "" {
				in["connection"] = connection
			}
			if len(access) > 0 {
				in["access"] = access
			}
			if client {
				in["kind"] = "client"
			}
			var v tokenView
			if err := t.call(cmd.Context(), http.MethodPost, "tokens", in, &v); err != nil {
				return err
			}
			return v.printSecret(cmd, t.output)
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().StringVar(&scope, "scope", "", "what it is for: scim or api (required)")
	cmd.Flags().StringVar(&role, "role", "", "account-wide role of an api token")
	cmd.Flags().StringVar(&name, "name", "", "what you will recognise it by")
	cmd.Flags().StringVar(&expiry, "expires", "90d", "how long it lives, in days such as 90d")
	cmd.Flags().StringVar(&connection, "connection", "", "connection whose provider uses a scim token: it is good while that is enabled")
	cmd.Flags().StringSliceVar(&access, "access", nil, "what a scim token may do, such as users:read,users:write (default all)")
	cmd.Flags().BoolVar(&client, "client", false, "make an OAuth client for scim instead")
	return cmd
}

func tokenRotate() *cobra.Command {
	var (
		t      target
		expiry string
		beside time.Duration
	)
	cmd := &cobra.Command{
		Use:   "rotate ID --tenant T",
		Short: "Make a token that takes the place of a SCIM token; its secret is printed this once",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			days, err := parseDays(expiry)
			if err != nil {
				return err
			}
			var v tokenView
			in := map[string]any{"overlap": beside.String(), "expires_in_days": days}
			if err := t.call(cmd.Context(), http.MethodPost, "tokens/"+url.PathEscape(args[0])+"/rotate", in, &v); err != nil {
				return err
			}
			tell(cmd, "%s stays good for %v at most; revoke it once the provider has the new one.", args[0], beside)
			return v.printSecret(cmd, t.output)
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().DurationVar(&beside, "overlap", 24*time.Hour, "how long the old one stays good, from 1m to 168h")
	cmd.Flags().StringVar(&expiry, "expires", "90d", "how long the new one lives, in days such as 90d")
	return cmd
}

func tokenList() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "list --tenant T",
		Short: "List a tenant's tokens (never their secrets)",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tokens, err := list[tokenView](cmd.Context(), &t, "tokens", url.Values{})
			if err != nil {
				return err
			}
			return t.output.print(cmd, tokens, func(w io.Writer) {
				_, _ = fmt.Fprintln(w, "NAME\tSCOPE\tROLE\tCONNECTION\tACCESS\tSTATE\tEXPIRES\tLAST USED\tID")
				for _, v := range tokens {
					used := "never"
					if v.LastUsed != nil {
						used = v.LastUsed.Format(time.DateTime)
					}
					scope, access := v.Scope, strings.Join(v.Access, ",")
					if v.Kind == "client" {
						scope += " client"
					}
					if v.Scope == "scim" && access == "" {
						access = "all"
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, scope, v.Role, v.Connection, access,
						v.state(time.Now()), v.ExpiresAt.Format(time.DateTime), used, v.ID)
				}
			})
		},
	}
	t.bindTenant(cmd)
	return cmd
}

func tokenRevoke() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "revoke ID --tenant T",
		Short: "Revoke a token at once",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.call(cmd.Context(), http.MethodDelete, "tokens/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			return t.output.done(cmd, map[string]any{"id": args[0], "revoked": true}, "Revoked token "+args[0]+".")
		},
	}
	t.bindTenant(cmd)
	return cmd
}

// parseDays reads a length of time in whole days, such as 90d: what the admin
// API counts a token's life in, which also bounds it.
func parseDays(text string) (int, error) {
	number, ok := strings.CutSuffix(text, "d")
	days, err := strconv.Atoi(number)
	if !ok || err != nil || days < 1 {
		return 0, fmt.Errorf("%w: --expires %q is not a number of days such as 90d", errUsage, text)
	}
	return days, nil
}
