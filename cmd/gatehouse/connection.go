package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type setupLinkView struct {
	ID         string    `json:"id"`
	Connection string    `json:"connection"`
	Path       string    `json:"path"`
	URL        string    `json:"url,omitempty"`
	ExpiresAt  time.Time `json:"expires_at"`
}

func newConnection() *cobra.Command {
	return group("connection", "Let an organisation connect its identity provider", connectionSetupLink())
}

func connectionSetupLink() *cobra.Command {
	var (
		t                         target
		title, role, link, expiry string
		refuseUnknown             bool
	)
	cmd := &cobra.Command{
		Use:   "setup-link NAME --tenant T",
		Short: "Make a link by which somebody connects an identity provider, without an account; it is printed this once",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			days, err := parseDays(expiry)
			if err != nil {
				return err
			}
			in := map[string]any{"connection": args[0], "expires_in_days": days}
			for key, value := range map[string]string{"display_name": title, "default_role": role, "link": link} {
				if value != "" {
					in[key] = value
				}
			}
			if refuseUnknown {
				in["unknown_people"] = "refuse"
			}
			var v setupLinkView
			if err := t.call(cmd.Context(), http.MethodPost, "setup-links", in, &v); err != nil {
				return err
			}
			tell(cmd, "A link for the connection %s, good until %s and in one browser. Send it to whoever runs the identity provider:", v.Connection, v.ExpiresAt.Format(time.RFC3339))
			return t.output.print(cmd, v, func(w io.Writer) {
				if v.URL == "" {
					v.URL = v.Path
				}
				_, _ = fmt.Fprintln(w, strings.TrimSpace(v.URL))
			})
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().StringVar(&title, "title", "", "what people choose it by")
	cmd.Flags().StringVar(&role, "role", "", "account-wide role of people made by their first sign-in")
	cmd.Flags().StringVar(&link, "link", "", "whom a first sign-in takes over: email or external_id")
	cmd.Flags().BoolVar(&refuseUnknown, "refuse-unknown", false, "let in only people whom SCIM or an admin has made")
	cmd.Flags().StringVar(&expiry, "expires", "7d", "how long it is good, in days such as 7d")
	return cmd
}
