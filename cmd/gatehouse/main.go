// Command gatehouse is the identity and access gateway: it serves, and it talks
// to a running gateway.
//
// It holds flags, signals and exit codes and nothing else: what a command does
// lives in the rooms. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set at link time.
var version = "dev"

// errUsage marks what the caller typed wrong, as against what failed.
var errUsage = errors.New("wrong usage")

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return 1
	}
	_, _ = fmt.Fprintln(stderr, "gatehouse:", err)
	if errors.Is(err, errUsage) {
		_, _ = fmt.Fprintln(stderr, "Run 'gatehouse --help' for what there is.")
		return 2
	}
	return 1
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "gatehouse",
		Short:         "Identity and access gateway: sign-in, SCIM, roles, devices and the audit journal in front of an app",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(newServe(), newDemo(), newCheck(), newApply(), newExport(), newTenant(), newSession(), newToken(), newConnection(), newOperator(), newAudit(), newLogin(), newLogout(), newWhoami(), newVersion())
	return root
}

// wrongFlag explains a flag that a command does not have. Every command whose
// result can have several forms has -o.
func wrongFlag(cmd *cobra.Command, err error) error {
	var unknown interface{ GetSpecifiedName() string }
	if errors.As(err, &unknown) && (unknown.GetSpecifiedName() == "o" || unknown.GetSpecifiedName() == "output") {
		return fmt.Errorf("%w: %s takes no -o: %s", errUsage, cmd.CommandPath(), cmp.Or(cmd.Annotations[insteadOfOutput], "it has no result to print"))
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}

// insteadOfOutput annotates a command that prints in a way of its own.
const insteadOfOutput = "instead of -o"

func newVersion() *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return output.print(cmd, map[string]string{"version": version}, func(w io.Writer) { _, _ = fmt.Fprintln(w, version) })
		},
	}
	output.bind(cmd)
	return cmd
}

// usage makes a check of arguments report wrong usage (exit code 2).
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: %s has no command %q", errUsage, cmd.CommandPath(), args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(children...)
	return cmd
}
