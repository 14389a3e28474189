package configs

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
)

// MaxBytes is the largest config file that is read.
const MaxBytes = 1 << 20

// Surroundings is what references in a file lead to: ${NAME} and file:PATH.
type Surroundings struct {
	LookupEnv func(name string) (string, bool)
	ReadFile  func(path string) ([]byte, error)
}

// Load reads and checks the file at path, and that the files it names are
// there. With problems there is no config. The error tells that the file
// itself could not be read.
func Load(path string) (*Config, []Problem, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	data, err := readBounded(path, MaxBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	config, problems := Parse(path, data, Surroundings{
		LookupEnv: os.LookupEnv,
		ReadFile:  func(path string) ([]byte, error) { return readBounded(path, maxSecretBytes) },
	})
	if config == nil {
		return nil, problems, nil
	}
	if problems := config.checkFiles(); len(problems) > 0 {
		return nil, problems, nil
	}
	return config, nil, nil
}

// Parse checks data as the config file named path, without looking at
// anything but the given surroundings. With problems there is no config.
func Parse(path string, data []byte, around Surroundings) (*Config, []Problem) {
	c := &checker{source: source{file: path, at: map[string]position{}}, folder: filepath.Dir(path), broken: map[string]bool{}}
	root := parseYAML(c, data)
	if root == nil {
		return nil, c.sorted()
	}
	config := &Config{}
	(&decoder{checker: c, around: around}).root(root, config)
	if !c.broken[""] {
		config.check(c)
	}
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	config.source = c.source
	return config, nil
}

// check runs the rules that one value alone cannot tell.
func (c *Config) check(k *checker) {
	c.checkStorage(k)
	c.Listen.check(k)
	c.TLS.check(k)
	if c.Operator.Host != "" && !isHost(c.Operator.Host) {
		k.add("operator.host", quote(c.Operator.Host)+" is not a host name", "write it in lower case without port, such as admin.example.com")
	}
	if c.Resolver != "" {
		if server, err := netip.ParseAddrPort(c.Resolver); err != nil || server.Port() == 0 {
			k.add("resolver", quote(c.Resolver)+" is no address of a DNS server", "write address:port, such as 10.0.0.53:53")
		}
	}
	c.App.check(k)
	c.Limits.check(k)
	c.Egress.check(k)
}

// checkFiles looks for the files that the config names and that must be there.
func (c *Config) checkFiles() []Problem {
	k := &checker{source: c.source}
	for i, certificate := range c.TLS.Certificates {
		for _, file := range []struct{ key, path string }{{"cert", certificate.Cert}, {"key", certificate.Key}} {
			if info, err := os.Stat(file.path); err != nil || !info.Mode().IsRegular() {
				k.add(index("tls.certificates", i)+"."+file.key, "there is no readable file "+file.path, "give the path of a PEM file")
			}
		}
	}
	return k.sorted()
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &os.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return data, nil
}

var errTooLarge = errors.New("the file is too large")
