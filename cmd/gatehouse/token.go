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
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scope     string     `json:"scope"`
	Role      string     `json:"role,omitempty"`
	Secret    string     `json:"secret,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	LastUsed  *time.Time `json:"last_used_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

func newToken() *cobra.Command {
	return group("token", "Create, list and revoke API and SCIM tokens", tokenCreate(), tokenList(), tokenRevoke())
}

func tokenCreate() *cobra.Command {
	var (
		t                         target
		scope, role, name, expiry string
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
			var v tokenView
			if err := t.call(cmd.Context(), http.MethodPost, "tokens", in, &v); err != nil {
				return err
			}
			tell(cmd, "Token %s, valid until %s. This is the only time its secret is shown:", v.ID, v.ExpiresAt.Format(time.RFC3339))
			return t.output.print(cmd, v, func(w io.Writer) { _, _ = fmt.Fprintln(w, v.Secret) })
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().StringVar(&scope, "scope", "", "what it is for: scim or api (required)")
	cmd.Flags().StringVar(&role, "role", "", "account-wide role of an api token")
	cmd.Flags().StringVar(&name, "name", "", "what you will recognise it by")
	cmd.Flags().StringVar(&expiry, "expires", "90d", "how long it lives, in days such as 90d")
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
				_, _ = fmt.Fprintln(w, "NAME\tSCOPE\tROLE\tSTATE\tEXPIRES\tID")
				for _, v := range tokens {
					state := "valid"
					switch {
					case v.RevokedAt != nil:
						state = "revoked"
					case time.Now().After(v.ExpiresAt):
						state = "expired"
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, v.Scope, v.Role, state, v.ExpiresAt.Format(time.DateTime), v.ID)
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
