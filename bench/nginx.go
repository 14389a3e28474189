package main

import (
	"context"
	"crypto/tls"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed nginx.conf.tmpl
var nginxSource string

var nginxTemplate = template.Must(template.New("nginx").Parse(nginxSource))

// startNginx starts nginx as a plain TLS proxy.
func startNginx(ctx context.Context, c *children, binary, dir, app, cert, key string, config *tls.Config) (*subject, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	err = nginxTemplate.Execute(&text, map[string]string{"Dir": dir, "Address": address, "App": strings.TrimPrefix(app, "http://"), "Cert": cert, "Key": key})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	// #nosec G204 -- nginx from the PATH with our own configuration
	pid, _, err := c.start(exec.CommandContext(ctx, binary, "-e", "stderr", "-p", dir, "-c", file), false)
	if err != nil {
		return nil, err
	}
	return &subject{name: "nginx, plain TLS proxy", pid: pid, target: target{addr: address, host: local(address), tls: config}}, await(ctx, address)
}
