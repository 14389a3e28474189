package configs

import (
	"net/url"
	"path/filepath"
	"strings"
)

// checkStorage checks where the state lives: environment, store, registry,
// keys and the data folder.
func (c *Config) checkStorage(k *checker) {
	if c.Environment != "" && !isName(c.Environment) {
		k.add("environment", "the environment's name may hold a-z, 0-9 and hyphens, at most 63 characters", "write a name such as production")
	}
	folder := c.checkStore(k)
	c.checkRegistry(k)
	c.checkKeys(k)
	switch {
	case c.Data != "":
		c.Data = k.resolve(c.Data)
	default:
		c.Data = folder
	}
}

func (c *Config) checkStore(k *checker) (folder string) {
	if c.Store == "" {
		return ""
	}
	u, err := url.Parse(string(c.Store))
	if err != nil {
		k.add("store", "the store is not a URL", "write sqlite:///var/lib/gatehouse") // err would quote the password
		return ""
	}
	switch u.Scheme {
	case "sqlite":
		if u.Host != "" || strings.ContainsAny(string(c.Store), "?#%") || u.User != nil || !filepath.IsAbs(u.Path) {
			k.add("store", "an sqlite store is an absolute folder, without ?, # or %", "write sqlite:/// and the folder, such as sqlite:///var/lib/gatehouse")
			return ""
		}
		return filepath.Clean(u.Path)
	case "postgres", "postgresql":
		k.add("store", "postgres is not available yet", "use sqlite:///var/lib/gatehouse")
	default:
		k.add("store", "unknown kind of store "+quote(u.Scheme), "write sqlite:///var/lib/gatehouse")
	}
	return ""
}

func (c *Config) checkRegistry(k *checker) {
	if c.Registry == "local" || c.Registry == "" {
		return
	}
	scheme, _, _ := strings.Cut(string(c.Registry), "://")
	switch scheme {
	case "redis", "rediss", "redis+sentinel", "redis+cluster":
		k.add("registry", scheme+" is not available yet", "use registry: local, on one node")
	default:
		k.add("registry", "unknown kind of registry "+quote(scheme), "write registry: local")
	}
}

func (c *Config) checkKeys(k *checker) {
	if c.Keys == "" {
		return
	}
	scheme, rest, _ := strings.Cut(c.Keys, "://")
	switch {
	case scheme == "awskms" || scheme == "gcpkms" || scheme == "azurekeyvault" || scheme == "hashivault":
		k.add("keys", scheme+" is not available yet", "use file:///var/lib/gatehouse/kek.key")
	case scheme != "file":
		k.add("keys", "unknown kind of key "+quote(scheme), "write file:///var/lib/gatehouse/kek.key")
	case !filepath.IsAbs(rest) || strings.HasSuffix(rest, "/"):
		k.add("keys", "the key file must be an absolute path", "write file:/// and the path, such as file:///var/lib/gatehouse/kek.key")
	}
}

// KeyFile is the path in a file:// keys URL.
func (c *Config) KeyFile() string { return strings.TrimPrefix(c.Keys, "file://") }
