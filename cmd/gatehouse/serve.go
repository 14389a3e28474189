package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gatehouse/configs"
	"gatehouse/demo"
	"gatehouse/gateway"
	"gatehouse/internal/telemetry"
)

func newServe() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the gateway",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// From the very beginning: a SIGHUP before would end the process.
			hangUp := make(chan os.Signal, 1)
			signal.Notify(hangUp, syscall.SIGHUP)
			defer signal.Stop(hangUp)
			cfg, problems, err := configs.Load(path)
			if err != nil {
				return err
			}
			if err := report(cmd, problems); err != nil {
				return err
			}
			log := telemetry.NewLogger(cmd.ErrOrStderr(), telemetry.JSON, slog.LevelInfo)
			slog.SetDefault(log)
			g, err := gateway.New(cmd.Context(), cfg, gateway.Options{Log: log, Version: version, ConfigFile: path, Reload: hangUp})
			if err != nil {
				return err
			}
			log.Info("serving", "https", g.Addr(), "ops", g.OpsAddr())
			return g.Run(cmd.Context())
		},
	}
	bindConfig(cmd, &path)
	return cmd
}

// checkView is what check finds.
type checkView struct {
	File     string        `json:"file"`
	Problems []problemView `json:"problems"`
}

type problemView struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	What   string `json:"what"`
	Fix    string `json:"fix"`
}

func newCheck() *cobra.Command {
	var path string
	var output format
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Check a config file and name every problem with its line",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, problems, err := configs.Load(path)
			if err != nil {
				return err
			}
			if output == asJSON {
				v := checkView{File: path, Problems: []problemView{}}
				for _, p := range problems {
					v.Problems = append(v.Problems, problemView(p))
				}
				if err := output.print(cmd, v, nil); err != nil {
					return err
				}
			}
			if err := report(cmd, problems); err != nil {
				return err
			}
			tell(cmd, "%s: no problems", path)
			return nil
		},
	}
	bindConfig(cmd, &path)
	output.bind(cmd)
	return cmd
}

func newDemo() *cobra.Command {
	var (
		options demo.Options
		machine bool
	)
	cmd := &cobra.Command{
		Use:         "demo",
		Annotations: map[string]string{insteadOfOutput: "--json prints where everything is"},
		Short:       "Run it all here, offline: two tenants, two identity providers, an app",
		Args:        usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options.Log = telemetry.NewLogger(cmd.ErrOrStderr(), telemetry.Text, slog.LevelWarn)
			slog.SetDefault(options.Log)
			d, err := demo.Start(cmd.Context(), options)
			if err != nil {
				return err
			}
			defer d.Close()
			if machine {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(d.Info())
			} else {
				err = d.Welcome(cmd.ErrOrStderr())
			}
			if err != nil {
				return err
			}
			return d.Wait()
		},
	}
	cmd.Flags().StringVar(&options.Addr, "addr", "127.0.0.1:8443", "address to serve on; port 0 picks a free one")
	cmd.Flags().StringVar(&options.Data, "data", "data", "data folder")
	cmd.Flags().BoolVar(&machine, "json", false, "print one JSON object on stdout once it serves")
	return cmd
}

func bindConfig(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "the config file (required)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *path == "" {
			return fmt.Errorf("%w: --config is missing", errUsage)
		}
		return nil
	}
}

// report prints every problem of a config file; with one, the command failed.
func report(cmd *cobra.Command, problems []configs.Problem) error {
	for _, p := range problems {
		tell(cmd, "%s", p)
	}
	if len(problems) > 0 {
		return errReported
	}
	return nil
}
