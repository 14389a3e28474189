package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/identity"
)

type localInvitationView struct {
	URL       string    `json:"url,omitempty"`
	Path      string    `json:"path"`
	ExpiresAt time.Time `json:"expires_at"`
	UserID    string    `json:"user_id"`
	EventID   string    `json:"event_id"`
}

// invitation is what the commands that invite somebody have in common.
type invitation struct {
	target

	name, role, expiry string
}

func (i *invitation) bindInvitation(cmd *cobra.Command) {
	cmd.Flags().StringVar(&i.name, "name", "", "what a person who is not there yet is called")
	cmd.Flags().StringVar(&i.expiry, "expires", "24h", "how long the link is good, such as 24h or 7d")
}

// invite makes the link and prints it.
func (i *invitation) invite(cmd *cobra.Command, email string) error {
	life, err := parseLife(i.expiry)
	if err != nil {
		return err
	}
	if err := i.checkServer(cmd.Context()); err != nil {
		return err
	}
	in := map[string]any{"email": email, "expires_in": life.String()}
	for key, value := range map[string]string{"display_name": i.name, "role": i.role} {
		if value != "" {
			in[key] = value
		}
	}
	var v localInvitationView
	if err := i.call(cmd.Context(), http.MethodPost, "local-accounts", in, &v); err != nil {
		return err
	}
	tell(cmd, "A link for %s, good once and until %s. Whoever has it becomes them, so send it in a way that only they read:", email, v.ExpiresAt.Format(time.RFC3339))
	return i.output.print(cmd, v, func(w io.Writer) { _, _ = fmt.Fprintln(w, cmp.Or(v.URL, v.Path)) })
}

// parseLife reads a length of time, also in whole days.
func parseLife(text string) (time.Duration, error) {
	if strings.HasSuffix(text, "d") {
		days, err := parseDays(text)
		return time.Duration(days) * 24 * time.Hour, err
	}
	life, err := time.ParseDuration(text)
	if err != nil || life <= 0 {
		return 0, fmt.Errorf("%w: --expires %q is not a length of time such as 24h or 7d", errUsage, text)
	}
	return life, nil
}

func newOperator() *cobra.Command {
	return group("operator", "Invite the people who run the gateway", operatorInvite())
}

func operatorInvite() *cobra.Command {
	var i invitation
	cmd := &cobra.Command{
		Use:   "invite EMAIL",
		Short: "Make a link by which somebody signs in at the operators' host, without an identity provider; it is printed this once",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i.tenant = identity.PlatformName
			return i.invite(cmd, args[0])
		},
	}
	i.bind(cmd)
	i.bindInvitation(cmd)
	cmd.Flags().StringVar(&i.role, "role", "", "account-wide role on the operators' tenant (default: owner, for who has none yet)")
	return cmd
}

func tenantInviteOwner() *cobra.Command {
	var i invitation
	cmd := &cobra.Command{
		Use:   "invite-owner TENANT EMAIL",
		Short: "Make a link by which an owner of a tenant signs in while its identity provider lets nobody in; it is printed this once",
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i.tenant = args[0]
			return i.invite(cmd, args[1])
		},
	}
	i.bind(cmd)
	i.bindInvitation(cmd)
	return cmd
}
