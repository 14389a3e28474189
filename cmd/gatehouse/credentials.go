package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// credential is a session that a person has let this command line have.
type credential struct {
	Token   string    `json:"token"`
	Tenant  string    `json:"tenant,omitempty"`
	User    string    `json:"user,omitempty"`
	Expires time.Time `json:"expires_at,omitzero"`
}

// credentials are those in the file, by server.
type credentials struct {
	Servers map[string]credential `json:"servers"`
}

// maxCredentials bounds the file that is read.
const maxCredentials = 1 << 20

// credentialFile is where they are kept: in the user's own configuration.
func credentialFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("there is no folder to keep a sign-in in: %w", err)
	}
	return filepath.Join(dir, "gatehouse", "credentials.json"), nil
}

// readCredentials gives what is kept; nothing, if there is no file. One that others
// can read is refused: they may have.
func readCredentials(path string) (credentials, error) {
	kept := credentials{Servers: map[string]credential{}}
	file, err := os.Open(path) // #nosec G304 -- the user's own configuration
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return kept, err
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	if err != nil {
		return kept, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" { // where the mode says nothing
		return kept, fmt.Errorf("%s can be read by others; sign in anew, and keep it to yourself: chmod 600", path)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxCredentials+1))
	if err != nil {
		return kept, err
	}
	if len(raw) > maxCredentials {
		return kept, fmt.Errorf("%s is larger than any that is written here", path)
	}
	if err := json.Unmarshal(raw, &kept); err != nil {
		return kept, fmt.Errorf("%s cannot be read, and may be deleted: %w", path, err)
	}
	if kept.Servers == nil {
		kept.Servers = map[string]credential{}
	}
	return kept, nil
}

// changeCredentials writes the file anew, whole or not at all.
func changeCredentials(change func(servers map[string]credential)) (err error) {
	path, err := credentialFile()
	if err != nil {
		return err
	}
	kept, err := readCredentials(path)
	if err != nil {
		return err
	}
	change(kept.Servers)
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".credentials-*") // of the mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // what matters is the error that led here
		}
	}()
	_, err = file.Write(append(text, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// storedCredential gives what is kept for a server; none is the zero value.
func storedCredential(server string) (credential, error) {
	origin, err := serverOrigin(server)
	if err != nil {
		return credential{}, err
	}
	path, err := credentialFile()
	if err != nil {
		return credential{}, nil //nolint:nilerr // without a folder there is none in it
	}
	kept, err := readCredentials(path)
	if err != nil {
		return credential{}, err
	}
	return kept.Servers[origin], nil
}

// serverOrigin is the one spelling of a server's address. A sign-in is kept for
// https alone, or for this machine.
func serverOrigin(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: --server is an address such as https://acme.app.example.com", errUsage)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	switch u.Scheme {
	case "https":
		if port == "443" {
			port = ""
		}
	case "http":
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && !strings.HasSuffix(host, ".localhost") && (err != nil || !ip.IsLoopback()) {
			return "", fmt.Errorf("%w: --server is an https address: what goes over http can be read on the way", errUsage)
		}
	default:
		return "", fmt.Errorf("%w: --server is an https address", errUsage)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}
