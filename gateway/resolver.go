package gateway

import (
	"context"
	"net"
	"time"

	"gatehouse/configs"
	"gatehouse/tenants"
)

// resolver asks the DNS whose domains are: the config's server, or those of the
// machine.
func resolver(cfg *configs.Config) tenants.Resolver {
	if cfg.Resolver == "" {
		return net.DefaultResolver
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, cfg.Resolver)
	}}
}
