package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Welcome tells a person what runs where and what to try.
func (d *Demo) Welcome(w io.Writer) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, "  "+strings.Join(cells, "\t")) } // into memory
	a := d.info.Tenants[acme]
	_, _ = fmt.Fprint(table, "\nGatehouse demo: everything runs on this machine. Ctrl-C ends it.\n\n")
	for _, c := range customers {
		t := d.info.Tenants[c.name]
		row(t.URL, c.display+", signs in by "+strings.ToUpper(t.Connection))
	}
	row(d.info.Operator.URL, "the operators' host")
	row(d.info.App+"/__seen", "what reached the app")
	row(d.info.Ops+"/metrics", "metrics; /readyz, /healthz")
	_, _ = fmt.Fprint(table, "\nAccounts\n")
	for _, c := range customers {
		for _, u := range d.info.Tenants[c.name].Users {
			row(u.Email, u.Password, u.Role)
		}
	}
	_, _ = fmt.Fprint(table, "\nTokens (new at every start)\n")
	for _, c := range customers {
		row(c.name, "API", d.info.Tenants[c.name].APIToken)
		row("", "SCIM", d.info.Tenants[c.name].SCIMToken)
	}
	row("operator", "API", d.info.Operator.Token)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	_, _ = fmt.Fprintf(&text, `
Try
  1. Open %[1]s and sign in as %[2]s. Your browser will warn about the
     certificate, unless it trusts the demo's CA: %[3]s
  2. In another browser sign in as %[4]s, open %[1]s.gatehouse/console/
     and sign the member's device out: its open streams close at once.
  3. As the member, open %[1]sapi/admin/billing, and find the refusal in the console.
  4. curl --cacert %[3]s -H 'Authorization: Bearer %[5]s' %[6]s/Users
  5. bin/gatehouse audit tail --tenant %[7]s --data %[8]s

`, a.URL, a.Users[1].Email, d.info.CA, a.Users[0].Email, a.SCIMToken, a.SCIM, acme, d.data)
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
