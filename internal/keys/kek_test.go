package keys

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newKEK(t *testing.T) (KEK, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kek.key")
	kek, err := OpenFileKEK(path, true)
	if err != nil {
		t.Fatal(err)
	}
	return kek, path
}

func TestFileKEKIsCreatedOnceForItsOwnerAlone(t *testing.T) {
	kek, path := newKEK(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %04o, want 0600", got)
	}
	again, err := OpenFileKEK(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != kek.ID() {
		t.Errorf("opened again it is %s, was %s", again.ID(), kek.ID())
	}
	wrapped, err := kek.Wrap(t.Context(), []byte("data key"), []byte("acme"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := again.Unwrap(t.Context(), wrapped, []byte("acme"))
	if err != nil || string(plain) != "data key" {
		t.Errorf("unwrap: %q, %v", plain, err)
	}
	if _, err := again.Unwrap(t.Context(), wrapped, []byte("globex")); err == nil {
		t.Error("unwrapped under another tenant's name")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestFileKEKRefusesWhatItCannotTrust(t *testing.T) {
	good := strings.Repeat("A", 43) + "=\n"
	for name, c := range map[string]struct {
		content string
		mode    fs.FileMode
	}{
		"open to the group": {good, 0o640},
		"open to all":       {good, 0o604},
		"empty":             {"", 0o600},
		"short":             {"c2hvcnQ=", 0o600},
		"not base64":        {strings.Repeat("!", 44), 0o600},
		"too large":         {strings.Repeat("A", kekFileLimit+1), 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kek.key")
			if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFileKEK(path, true)
			if err == nil {
				t.Fatal("opened")
			}
			if c.content != "" && strings.Contains(err.Error(), strings.TrimSpace(c.content)) {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
	if _, err := OpenFileKEK(filepath.Join(t.TempDir(), "none"), false); err == nil || !strings.Contains(err.Error(), "put its copy back") {
		t.Errorf("a missing key without leave to create it: %v", err)
	}
}

// The gateway must notice a key that is taken away or exchanged (P7), also when
// it runs as root, and go on when the right one is back.
func TestP7_FileKEKCheckSeesTheKeyGoAndComeBack(t *testing.T) {
	kek, path := newKEK(t)
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ok := func() {
		t.Helper()
		if err := kek.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	broken := func(how string) {
		t.Helper()
		if kek.Check(t.Context()) == nil {
			t.Errorf("%s: not noticed", how)
		}
		if _, err := kek.Wrap(t.Context(), []byte("x"), nil); err == nil {
			t.Errorf("%s: still wraps", how)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok()
	must(os.Chmod(path, 0))
	broken("chmod 000")
	must(os.Chmod(path, 0o600))
	ok()
	must(os.Rename(path, path+".away"))
	broken("missing")
	must(os.WriteFile(path, bytes.Replace(original, original[:4], []byte("zzzz"), 1), 0o600))
	broken("another key")
	must(os.Remove(path))
	must(os.Mkdir(path, 0o700))
	broken("a directory")
	must(os.Remove(path))
	must(os.WriteFile(path, original, 0o600)) // a copy of the right key is the right key
	ok()
}
