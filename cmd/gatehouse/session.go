package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

type sessionView struct {
	ID     string `json:"id"`
	UserID string `json:"user_id"`
	User   struct {
		Email string `json:"email"`
		Name  string `json:"name"`
	} `json:"user"`
	Device struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"device"`
	IP        string    `json:"ip"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
}

type revocationView struct {
	Sessions    int `json:"sessions"`
	Devices     int `json:"devices"`
	Connections int `json:"connections_closed"`
	Nodes       []struct {
		ID        string `json:"id"`
		Confirmed any    `json:"confirmed"`
	} `json:"nodes"`
	TookMS float64 `json:"took_ms"`
	Event  string  `json:"event_id"`
}

func newSession() *cobra.Command {
	return group("session", "List sessions and sign them out", sessionList(), sessionRevoke())
}

func sessionList() *cobra.Command {
	var (
		t            target
		user, device string
	)
	cmd := &cobra.Command{
		Use:   "list --tenant T",
		Short: "List who is signed in, and on which device",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if user != "" {
				query.Set("user", user)
			}
			if device != "" {
				query.Set("device", device)
			}
			sessions, err := list[sessionView](cmd.Context(), &t, "sessions", query)
			if err != nil {
				return err
			}
			return t.print(cmd, sessions, func(w io.Writer) {
				_, _ = fmt.Fprintln(w, "PERSON\tDEVICE\tIP\tSINCE\tLAST SEEN\tSESSION\tDEVICE ID")
				for _, s := range sessions {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.User.Email, s.Device.Name, s.IP,
						s.CreatedAt.Format(time.DateTime), s.SeenAt.Format(time.DateTime), s.ID, s.Device.ID)
				}
			})
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().StringVar(&user, "user", "", "only this person's (id or email)")
	cmd.Flags().StringVar(&device, "device", "", "only this device's (id)")
	return cmd
}

func sessionRevoke() *cobra.Command {
	var (
		t                     target
		user, device, session string
		all                   bool
	)
	cmd := &cobra.Command{
		Use:   "revoke --tenant T (--user U | --device D | --session S | --all)",
		Short: "Sign out; returns once nothing of it is served any more",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := map[string]any{}
			for name, value := range map[string]string{"user": user, "device": device, "session": session} {
				if value != "" {
					in[name] = value
				}
			}
			if all {
				in["all"] = true
			}
			if len(in) != 1 {
				return fmt.Errorf("%w: name exactly one of --user, --device, --session, --all", errUsage)
			}
			var v revocationView
			if err := t.call(cmd.Context(), http.MethodPost, "sessions/revoke", in, &v); err != nil {
				return err
			}
			return t.print(cmd, v, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "Signed out %d sessions on %d devices, closed %d connections, in %.1f ms (event %s).\n",
					v.Sessions, v.Devices, v.Connections, v.TookMS, v.Event)
			})
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().StringVar(&user, "user", "", "everything of this person (id or email)")
	cmd.Flags().StringVar(&device, "device", "", "everything on this device (id)")
	cmd.Flags().StringVar(&session, "session", "", "this session (id)")
	cmd.Flags().BoolVar(&all, "all", false, "everybody of the tenant")
	return cmd
}
