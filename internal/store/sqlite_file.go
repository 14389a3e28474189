package store

import (
	"context"
	"crypto/aes"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	_ "github.com/ncruces/go-sqlite3/vfs/xts" // the encrypting file layer
	"golang.org/x/crypto/xts"
)

const (
	keySize    = 64 // AES-256-XTS takes two 256-bit keys (IEEE 1619)
	maxReaders = 4
	// readerIdle is how long a reader is kept beyond its use: opening one costs a
	// millisecond, keeping one some memory and two files.
	readerIdle = 10 * time.Second
	// connWait bounds the wait for a connection when others keep them all busy.
	connWait = 5 * time.Second
	// upgradeTime bounds the bringing of a tenant's data into the form of this release.
	upgradeTime = time.Hour
	// busyWait bounds the wait for a lock that another process holds.
	busyWait = 5 * time.Second
)

// writing has a writer keep more pages at hand, in KiB, and copy what it has written
// into the database later, in pages: of what a load changes in the indexes, most is
// changed again before that.
const writing = `PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 4096`

var (
	errUnreadable = errors.New("store: the database file is unreadable")
	errReplaced   = errors.New("store: the database file was replaced")
	errKey        = errors.New("store: the database file does not open with this key")
	errEmpty      = errors.New("store: the database file is empty")
)

// file is one open SQLite database: a single writer, so that writers queue here
// and not in SQLite, and a few readers that never wait for it (WAL).
type file struct {
	path    string
	info    fs.FileInfo // the inode that is open
	writer  *sql.DB
	readers *sql.DB
}

// openFile opens the database at path with a key of [keySize] bytes and brings
// it to the newest form. It never creates one: an empty file is data lost.
func openFile(ctx context.Context, path string, key []byte, s schema) (*file, error) {
	info, err := statReadable(path)
	if err != nil {
		return nil, err
	}
	if err := checkKey(path, key); err != nil {
		return nil, err
	}
	f := &file{path: path, info: info}
	hexKey := hex.EncodeToString(key)
	f.writer, err = openConns(path, hexKey, `PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = on; `+writing)
	if err != nil {
		return nil, err
	}
	f.writer.SetMaxOpenConns(1)
	f.readers, err = openConns(path, hexKey, `PRAGMA query_only = on`)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	f.readers.SetMaxOpenConns(maxReaders)
	f.readers.SetMaxIdleConns(maxReaders)
	f.readers.SetConnMaxIdleTime(readerIdle)
	// What is there may be much: who waits for it goes, and the next one finds it done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), upgradeTime)
	defer cancel()
	if err := s.migrate(ctx, f.writer); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// openConns makes a pool of connections, none of which is open yet. The key is
// given by PRAGMA and not in the data source name, which shows up in errors.
func openConns(path, hexKey, pragmas string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "vfs=xts&mode=rw&_txlock=immediate"}
	return driver.Open(dsn.String(), func(c *sqlite3.Conn) error {
		if err := c.Exec(`PRAGMA hexkey = '` + hexKey + `'`); err != nil {
			return errKey // the driver's error carries the statement
		}
		if err := c.BusyTimeout(busyWait); err != nil {
			return err
		}
		return c.Exec(`PRAGMA temp_store = memory; ` + pragmas)
	})
}

// createFile makes an encrypted database in a directory of its own, both for
// their owner alone. It appears at its path whole and durable or not at all;
// one that is there already is left as it is.
func createFile(ctx context.Context, path string, key []byte, s schema) error {
	if err := checkKey(path, key); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	begun := path + ".new"
	for _, left := range []string{begun, begun + "-wal", begun + "-shm"} { // of a crash
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(begun, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // synced below
	if err := writeSchema(ctx, begun, key, s); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(begun, path); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// writeSchema fills an empty file, without SQLite's own care for durability:
// until the file is synced and has its name, there is nothing to lose.
func writeSchema(ctx context.Context, path string, key []byte, s schema) error {
	db, err := openConns(path, hex.EncodeToString(key), `PRAGMA journal_mode = memory; PRAGMA synchronous = off`)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	err = s.create(ctx, db)
	if err == nil {
		_, err = db.ExecContext(ctx, `PRAGMA journal_mode = wal`)
	}
	return errors.Join(err, db.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// headerSize is the sector that the encryption works in.
const headerSize = 512

// checkKey decrypts the file's first sector and looks for SQLite's magic string
// (https://sqlite.org/fileformat.html §1.3). SQLite itself must not be let near
// a file with a wrong key: it takes the write-ahead log for an empty one and
// deletes it when it closes.
func checkKey(path string, key []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	var sector [headerSize]byte
	switch _, err := io.ReadFull(f, sector[:]); {
	case errors.Is(err, io.EOF):
		return errEmpty
	case err != nil:
		return fmt.Errorf("read header: %w", err)
	}
	cipher, err := xts.NewCipher(aes.NewCipher, key)
	if err != nil {
		return errKey
	}
	cipher.Decrypt(sector[:], sector[:], 0)
	if string(sector[:16]) != "SQLite format 3\x00" {
		return errKey
	}
	return nil
}

// statReadable refuses what its owner may not read. The system lets root read
// such a file all the same; an operator who took the right away means it.
func statReadable(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o400 == 0 {
		return nil, errUnreadable
	}
	return info, nil
}

// probe reports whether the file that is open is still the one at its path.
func (f *file) probe() error {
	info, err := statReadable(f.path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, f.info) {
		return errReplaced
	}
	return nil
}

// transact runs fn in one transaction.
func (f *file) transact(ctx context.Context, write bool, fn func(*Tx) error) error {
	db := f.readers
	if write {
		db = f.writer
	}
	conn, err := takeConn(ctx, db)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: !write})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := fn(&Tx{conn: tx, dialect: sqliteDialect}); err != nil {
		return err
	}
	if !write {
		return nil
	}
	return tx.Commit()
}

// takeConn waits for a free connection, but not for ever.
func takeConn(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, connWait)
	defer cancel()
	conn, err := db.Conn(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return nil, unavailable(errors.New("store: every connection was busy for too long"))
	}
	return conn, err
}

// close ends all connections; the last one checkpoints the write-ahead log.
func (f *file) close() error {
	if f.readers == nil {
		return f.writer.Close()
	}
	return errors.Join(f.readers.Close(), f.writer.Close())
}
