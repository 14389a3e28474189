package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// What stands in the data folder beside the store's own files.
const (
	socketName  = "gatehouse.sock"
	lockName    = "gatehouse.lock"
	journalName = "journal"
	keysName    = "keys"
	caName      = "ca"
	kekName     = "kek.key"
	nodeFile    = "node"
	// unsettledName holds what SQL has not got yet (sessions.Unsettled).
	unsettledName = "unsettled"
)

// ErrInUse says that another gateway runs on the data folder.
var ErrInUse = errors.New("gateway: another gateway runs on this data folder")

// lockFolder makes sure that one gateway alone works on a data folder; the
// lock ends with the process, however it ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gateway: lock: %w", err)
	}
	// #nosec G115 -- a file descriptor fits an int
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("gateway: lock: %w", err)
	}
	return f, nil
}

// listenSocket opens the admin socket with mode 0600. The folder lock is held,
// so a socket that is there was left by a gateway that died.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gateway: admin socket: %w", err)
	}
	// The folder is 0700, so nobody gets in between here and the chmod.
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("gateway: admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: admin socket: %w", err), l.Close())
	}
	return l, nil
}
