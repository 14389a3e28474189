package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// nodeName is this gateway's name, which its journals bear. It is made at the
// first start and kept in the data folder: a host's name may change, or be that
// of another one. The folder's lock is held.
func nodeName(data string) (string, error) {
	path := filepath.Join(data, nodeFile)
	kept, err := os.ReadFile(path) // #nosec G304 -- in our data folder
	switch {
	case err == nil:
		return strings.TrimSpace(string(kept)), nil // audit.Open refuses what is no name
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("gateway: name of this node: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("gateway: name of this node: %w", err)
	}
	host = strings.Trim(notInNames.ReplaceAllString(host, "-"), "-")
	name := strings.TrimPrefix(host[:min(len(host), 40)]+"-"+strings.ToLower(rand.Text()[:6]), "-")
	begun := path + ".new"
	f, err := os.OpenFile(begun, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- in our data folder
	if err != nil {
		return "", fmt.Errorf("gateway: name of this node: %w", err)
	}
	_, err = f.WriteString(name + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(begun, path)
	}
	if err != nil {
		return "", fmt.Errorf("gateway: name of this node: %w", err)
	}
	return name, nil
}
