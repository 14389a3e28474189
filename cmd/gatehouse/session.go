package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type sessionView struct {
	ID   string `json:"id"`
	User struct {
		ID    string `json:"id"`
		Email string `json:"email,omitempty"`
		Name  string `json:"name,omitempty"`
	} `json:"user"`
	Device struct {
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
	} `json:"device"`
	Connection string    `json:"connection"`
	IP         string    `json:"ip,omitempty"`
	SignedInAt time.Time `json:"signed_in_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	Open       int       `json:"open_connections"`
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
				id, err := t.userID(cmd.Context(), user)
				if err != nil {
					return err
				}
				query.Set("user", id)
			}
			if device != "" {
				query.Set("device", device)
			}
			sessions, err := list[sessionView](cmd.Context(), &t, "sessions", query)
			if err != nil {
				return err
			}
			return t.output.print(cmd, sessions, func(w io.Writer) {
				_, _ = fmt.Fprintln(w, "PERSON\tDEVICE\tIP\tSINCE\tLAST SEEN\tOPEN\tSESSION\tDEVICE ID")
				for _, s := range sessions {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", cmp.Or(s.User.Email, s.User.ID), s.Device.Name, s.IP,
						s.SignedInAt.Format(time.DateTime), s.LastSeenAt.Format(time.DateTime), s.Open, s.ID, s.Device.ID)
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
		t                                 target
		user, device, connection, session string
		all                               bool
	)
	cmd := &cobra.Command{
		Use:   "revoke --tenant T (--user U | --device D | --connection C | --session S | --all)",
		Short: "Sign out; returns once nothing of it is served any more",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := map[string]any{}
			for name, value := range map[string]string{"user": user, "device": device, "connection": connection, "session": session} {
				if value != "" {
					in[name] = value
				}
			}
			if all {
				in["all"] = true
			}
			if len(in) != 1 {
				return fmt.Errorf("%w: name exactly one of --user, --device, --connection, --session, --all", errUsage)
			}
			if session != "" {
				return t.revoke(cmd, http.MethodDelete, "sessions/"+url.PathEscape(session), nil)
			}
			if user != "" {
				id, err := t.userID(cmd.Context(), user)
				if err != nil {
					return err
				}
				in["user"] = id
			}
			return t.revoke(cmd, http.MethodPost, "sessions/revoke", in)
		},
	}
	t.bindTenant(cmd)
	cmd.Flags().StringVar(&user, "user", "", "everything of this person (id or email)")
	cmd.Flags().StringVar(&device, "device", "", "everything on this device (id)")
	cmd.Flags().StringVar(&connection, "connection", "", "everybody who signed in by this connection (name)")
	cmd.Flags().StringVar(&session, "session", "", "this session (id)")
	cmd.Flags().BoolVar(&all, "all", false, "everybody of the tenant")
	return cmd
}

func (t *target) revoke(cmd *cobra.Command, method, path string, in any) error {
	var v revocationView
	if err := t.call(cmd.Context(), method, path, in, &v); err != nil {
		return err
	}
	return t.output.print(cmd, v, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "Signed out %d sessions on %d devices, closed %d connections, in %.0f ms (event %s).\n",
			v.Sessions, v.Devices, v.Connections, v.TookMS, v.Event)
	})
}

// userID finds a person by id, email or user name.
func (t *target) userID(ctx context.Context, who string) (string, error) {
	if strings.HasPrefix(who, "usr_") {
		return who, nil
	}
	type person struct {
		ID       string `json:"id"`
		UserName string `json:"user_name"`
		Email    string `json:"email"`
	}
	people, err := list[person](ctx, t, "users", url.Values{"search": {who}})
	if err != nil {
		return "", err
	}
	found := slices.DeleteFunc(people, func(p person) bool { return !strings.EqualFold(p.Email, who) && !strings.EqualFold(p.UserName, who) })
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is nobody called %q", who)
	case 1:
		return found[0].ID, nil
	}
	return "", fmt.Errorf("%d people are called %q: name one by id", len(found), who)
}
