package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"gatehouse/demo/oidcidp"
	"gatehouse/demo/samlidp"
	"gatehouse/gateway"
)

// maxMetadata bounds what is read of the gate's SAML metadata.
const maxMetadata = 1 << 20

// Demo is a running demo.
type Demo struct {
	info      Info
	data      string
	temporary bool
	gate      *gateway.Gateway
	own       *http.Transport // the demo's own way to the gate
	parts     []*part

	stop  context.CancelFunc
	ended chan struct{} // closed when the gate has ended
	err   error         // why it ended; read after ended is closed
}

// Start runs everything and returns once it serves. It runs until ctx ends or
// [Demo.Close]; after an error nothing is left running.
func Start(ctx context.Context, o Options) (_ *Demo, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	d := &Demo{}
	defer func() { //nolint:contextcheck // Close must go through although ctx may have ended
		if err != nil {
			d.Close()
			err = errors.Join(err, d.err) // a gate that failed is why the rest did
		}
	}()
	if err := d.openFolder(o.Data); err != nil {
		return nil, err
	}
	s, err := loadState(d.data)
	if err != nil {
		return nil, err
	}
	listeners, err := openListeners(ctx, s)
	if err != nil {
		return nil, err
	}
	defer listeners.closeUnserved()

	app := cmp.Or(o.App, urlOf(listeners.app))
	config, err := writeConfig(d.data, o.Addr, app, o.Resolver)
	if err != nil {
		return nil, err
	}
	if d.gate, err = gateway.New(ctx, config, gateway.Options{Log: o.Log, Version: "demo"}); err != nil {
		return nil, err
	}
	if err := d.describe(app); err != nil {
		return nil, err
	}
	if d.own, err = d.info.transport(); err != nil {
		return nil, err
	}
	issuer := urlOf(listeners.oidc)
	openID, err := newOIDC(issuer, s.oidcKey, d.own, o.Log)
	if err != nil {
		return nil, err
	}
	saml, err := newSAML(urlOf(listeners.saml), s, o.Log)
	if err != nil {
		return nil, err
	}
	upstream, err := newApp(d.info.Tenants[acme].URL+".gatehouse/jwks.json", d.own, o.Log)
	if err != nil {
		return nil, err
	}
	// Parts live until Close, not until ctx ends: the gate drains into them.
	life := context.WithoutCancel(ctx)
	d.parts = append(d.parts, serve(life, take(&listeners.app), upstream, o.Log),
		serve(life, take(&listeners.oidc), openID, o.Log), serve(life, take(&listeners.saml), saml, o.Log))
	d.run(ctx)
	if err := d.settle(ctx, s, issuer, openID, saml); err != nil {
		return nil, err
	}
	d.info.Ready = true
	return d, s.save()
}

func (d *Demo) openFolder(data string) (err error) {
	if data == "" {
		d.temporary = true
		d.data, err = os.MkdirTemp("", "gatehouse-demo-")
	} else if d.data, err = filepath.Abs(data); err == nil {
		err = os.MkdirAll(d.data, 0o700)
	}
	if err != nil {
		return fmt.Errorf("demo: data folder: %w", err)
	}
	return nil
}

// describe fills in the addresses, which are known once the gate listens.
func (d *Demo) describe(app string) error {
	_, port, err := net.SplitHostPort(d.gate.Addr())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	address := func(host string) string { return "https://" + net.JoinHostPort(host, port) + "/" }
	d.info = Info{CA: filepath.Join(d.data, "ca", "ca.pem"), Ops: "http://" + d.gate.OpsAddr(), App: app,
		Operator: Operator{URL: address("admin.localhost")}, Tenants: map[string]Tenant{}}
	for _, c := range customers {
		d.info.Tenants[c.name] = Tenant{URL: address(c.host()), Connection: c.connection, SCIM: address(c.host()) + "scim/v2", Users: c.users()}
	}
	return nil
}

// run serves the gate until ctx ends or Close.
func (d *Demo) run(ctx context.Context) {
	ctx, d.stop = context.WithCancel(ctx)
	d.ended = make(chan struct{})
	go func() {
		defer close(d.ended)
		d.err = d.gate.Run(ctx)
	}()
}

// settle makes the tenants and introduces the gate to the identity providers.
func (d *Demo) settle(ctx context.Context, s *state, issuer string, openID *oidcidp.Provider, saml *samlidp.Provider) error {
	a := d.info.Tenants[acme].URL
	openID.Register(oidcidp.Client{ID: acme, Secret: s.ClientSecret,
		RedirectURIs:  []string{a + ".gatehouse/oidc/oidc/callback"},
		SignedOutURIs: []string{a, a + ".gatehouse/logout"}, BackChannelURI: a + ".gatehouse/oidc/oidc/backchannel-logout"})
	if err := d.seed(ctx, issuer, s.ClientSecret, saml.MetadataURL()); err != nil {
		return err
	}
	metadata, err := d.fetch(ctx, d.info.Tenants[globex].URL+".gatehouse/saml/saml/metadata")
	if err != nil {
		return err
	}
	return saml.Register(metadata)
}

func (d *Demo) fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	resp, err := d.own.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("demo: %s answered %s", address, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
}

// Info is what there is and how to reach it.
func (d *Demo) Info() Info { return d.info }

// Client is a fresh browser; see [Info.Client].
func (d *Demo) Client() (*http.Client, error) { return d.info.Client() }

// SignIn signs a demo account in; see [Info.SignIn].
func (d *Demo) SignIn(ctx context.Context, client *http.Client, tenant, email string) error {
	return d.info.SignIn(ctx, client, tenant, email)
}

// Gateway is the running gateway, for tests that look inside.
func (d *Demo) Gateway() *gateway.Gateway { return d.gate }

// Wait returns when the gate has ended, with the reason if it failed.
func (d *Demo) Wait() error {
	<-d.ended
	return d.err
}

// Close ends everything, waits for it, and removes a temporary data folder.
func (d *Demo) Close() {
	if d.stop != nil {
		d.stop()
		<-d.ended
	} else if d.gate != nil {
		d.err = errors.Join(d.err, d.gate.Close())
	}
	for _, p := range d.parts {
		_ = p.close() // loopback listeners of a demo that is over
	}
	if d.own != nil {
		d.own.CloseIdleConnections()
	}
	if d.temporary {
		_ = os.RemoveAll(d.data) // in the system's temporary folder: nothing depends on it
	}
}
