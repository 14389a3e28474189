package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"time"

	"gatehouse/demo/browse"
	"gatehouse/demo/idp"
	"gatehouse/demo/oidcidp"
)

// startOAuth2Proxy starts an oauth2-proxy binary as the whole proxy, with
// sessions in its cookie, and signs in at it through an OpenID provider of ours.
func startOAuth2Proxy(ctx context.Context, c *children, binary, app, cert, key string, config *tls.Config) (*subject, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	base := "https://" + local(address)
	account := idp.Account{Subject: "bench", Email: "bench@acme.example", Name: "Bench", Password: rand.Text()}
	client := oidcidp.Client{ID: "bench", Secret: rand.Text(), RedirectURIs: []string{base + "/oauth2/callback"}}
	issuer, err := startProvider(ctx, c, account, client)
	if err != nil {
		return nil, err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand aborts the program instead
	// #nosec G204 G702 -- the binary that the person who runs the bench named
	cmd := exec.CommandContext(ctx, binary, "--provider=oidc", "--oidc-issuer-url="+issuer, "--client-id="+client.ID, "--client-secret="+client.Secret,
		"--redirect-url="+client.RedirectURIs[0], "--code-challenge-method=S256", "--scope=openid email profile", "--email-domain=*", "--skip-provider-button",
		"--cookie-secret="+base64.URLEncoding.EncodeToString(secret[:]), "--upstream="+app, "--https-address="+address, "--http-address=-",
		"--tls-cert-file="+cert, "--tls-key-file="+key, "--request-logging=false", "--auth-logging=false", "--standard-logging=false")
	pid, _, err := c.start(cmd, false)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, address); err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Jar: jar, Timeout: startTimeout, Transport: &http.Transport{TLSClientConfig: config.Clone()}}
	defer browser.CloseIdleConnections()
	resp, err := browse.SignIn(ctx, browser, base+"/", account.Email, account.Password)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // read already
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("oauth2-proxy: the sign-in ended at %s with %s", resp.Request.URL, resp.Status)
	}
	at, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return &subject{name: "oauth2-proxy, cookie sessions", pid: pid, target: target{addr: address, host: local(address), tls: config, cookie: cookiesFor(browser, at)}}, nil
}

// startProvider serves an OpenID provider inside this process: it is used once,
// for the sign-in, and idle afterwards.
func startProvider(ctx context.Context, c *children, account idp.Account, client oidcidp.Client) (issuer string, err error) {
	l, err := listenLoopback(ctx)
	if err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	issuer = "http://" + l.Addr().String()
	provider, err := oidcidp.New(oidcidp.Options{Issuer: issuer, Key: key, Accounts: idp.Accounts{account}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	provider.Register(client)
	server := &http.Server{Handler: provider, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with Close
	}()
	c.stops = append(c.stops, func() {
		_ = server.Close()
		<-done
	})
	return issuer, nil
}
