package main

import (
	"context"
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

// credentials are those in the file, by server. Devices are by what a server knows this
// machine again; they stay when somebody signs out.
type credentials struct {
	Servers map[string]credential `json:"servers"`
	Devices map[string]string     `json:"devices,omitempty"`
}

const (
	// lockTime is how long another command is waited for that writes the file, and
	// lockPause between two tries.
	lockTime  = 10 * time.Second
	lockPause = 20 * time.Millisecond
)

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
	kept := credentials{Servers: map[string]credential{}, Devices: map[string]string{}}
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
	if kept.Devices == nil {
		kept.Devices = map[string]string{}
	}
	return kept, nil
}

// changeCredentials writes the file anew, whole or not at all. Commands that do so at
// once go one after the other: each finds what the one before it has written.
func changeCredentials(ctx context.Context, change func(*credentials)) (err error) {
	path, err := credentialFile()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	release, err := lockFile(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	kept, err := readCredentials(path)
	if err != nil {
		return err
	}
	change(&kept)
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
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

// lockFile holds a file until it is released, or the process ends. It is beside what it
// is for, since that is replaced by another file, and stays.
func lockFile(ctx context.Context, path string) (release func() error, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the user's own configuration
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		held, err := tryLock(file)
		if held {
			return file.Close, nil // which lets go of it
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s is held by another command; try again", path), file.Close())
		}
	}
}

// storedCredential gives what is kept for a server, and by what it knows this machine;
// none is the zero value.
func storedCredential(server string) (kept credential, device string, err error) {
	origin, err := serverOrigin(server)
	if err != nil {
		return credential{}, "", err
	}
	path, err := credentialFile()
	if err != nil {
		return credential{}, "", nil //nolint:nilerr // without a folder there is none in it
	}
	all, err := readCredentials(path)
	if err != nil {
		return credential{}, "", err
	}
	return all.Servers[origin], all.Devices[origin], nil
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
