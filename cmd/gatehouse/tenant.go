package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type tenantView struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	DisplayName string    `json:"display_name"`
	Hosts       []string  `json:"hosts"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"created_at"`
}

const platformTenants = "platform/tenants"

func newTenant() *cobra.Command {
	return group("tenant", "List, create, show, suspend and delete tenants, and invite their owners",
		tenantList(), tenantCreate(), tenantShow(), tenantSuspend(), tenantDelete(), tenantInviteOwner())
}

func tenantList() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all tenants",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tenants, err := list[tenantView](cmd.Context(), &t, platformTenants, url.Values{})
			if err != nil {
				return err
			}
			return t.output.print(cmd, tenants, func(w io.Writer) { tenantTable(w, tenants...) })
		},
	}
	t.bind(cmd)
	return cmd
}

func tenantCreate() *cobra.Command {
	var (
		t       target
		hosts   []string
		display string
	)
	cmd := &cobra.Command{
		Use:   "create NAME --host HOST",
		Short: "Create a tenant",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(hosts) == 0 {
				return fmt.Errorf("%w: --host is missing: the address under which the tenant's people reach the app", errUsage)
			}
			if display == "" {
				display = args[0]
			}
			return t.oneTenant(cmd, http.MethodPost, platformTenants, map[string]any{"name": args[0], "display_name": display, "hosts": hosts})
		},
	}
	t.bind(cmd)
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "host name of the tenant (may be repeated)")
	cmd.Flags().StringVar(&display, "display-name", "", "name shown to people (default: NAME)")
	return cmd
}

func tenantShow() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a tenant",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.oneTenant(cmd, http.MethodGet, tenantPath(args[0]), nil)
		},
	}
	t.bind(cmd)
	return cmd
}

func tenantSuspend() *cobra.Command {
	var (
		t      target
		resume bool
	)
	cmd := &cobra.Command{
		Use:   "suspend NAME",
		Short: "Let nobody of a tenant in, without deleting anything",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			status := "suspended"
			if resume {
				status = "active"
			}
			return t.oneTenant(cmd, http.MethodPatch, tenantPath(args[0]), map[string]any{"status": status})
		},
	}
	t.bind(cmd)
	cmd.Flags().BoolVar(&resume, "resume", false, "end the suspension")
	return cmd
}

func tenantDelete() *cobra.Command {
	var (
		t   target
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "delete NAME --yes",
		Short: "Delete a tenant with all its data and its key",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return fmt.Errorf("%w: this destroys all data of %s and cannot be undone: add --yes", errUsage, args[0])
			}
			if err := t.call(cmd.Context(), http.MethodDelete, tenantPath(args[0]), nil, nil); err != nil {
				return err
			}
			return t.output.done(cmd, map[string]any{"name": args[0], "deleted": true}, "Deleted tenant "+args[0]+".")
		},
	}
	t.bind(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, destroy the tenant's data")
	return cmd
}

func tenantPath(name string) string { return platformTenants + "/" + url.PathEscape(name) }

// oneTenant makes a call that answers with a tenant, and prints it.
func (t *target) oneTenant(cmd *cobra.Command, method, path string, in any) error {
	var v tenantView
	if err := t.call(cmd.Context(), method, path, in, &v); err != nil {
		return err
	}
	return t.output.print(cmd, v, func(w io.Writer) { tenantTable(w, v) })
}

func tenantTable(w io.Writer, tenants ...tenantView) {
	_, _ = fmt.Fprintln(w, "NAME\tSTATUS\tHOSTS\tCREATED\tID")
	for _, v := range tenants {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Name, v.Status, strings.Join(v.Hosts, ","), v.CreatedAt.Format(time.DateTime), v.ID)
	}
}
