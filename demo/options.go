package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
)

// Options say how the demo runs.
type Options struct {
	// Addr is where the gate listens, a loopback host:port; port 0 picks a free
	// one. Empty: 127.0.0.1:0.
	Addr string
	// Data is the folder for everything the gateway keeps; a demo that is started
	// on it again finds its people, sessions and journal. Empty: a temporary
	// folder that Close removes.
	Data string
	// App is the URL of an app to stand behind the gate in the demo app's place,
	// such as the bench's; empty: the demo app.
	App string
	// Resolver is the DNS server that is asked whose domains are, as address:port;
	// empty: those of this machine.
	Resolver string
	// Log is for the gateway and the demo's own parts; nil: [slog.Default].
	Log *slog.Logger
}

func (o *Options) complete() error {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if address, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !address.IsLoopback()) {
		return errors.New("demo: it listens on loopback only, because its passwords are known to everybody")
	}
	return nil
}
