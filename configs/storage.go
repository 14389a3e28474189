package configs

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// checkStorage checks where the state lives: environment, store and its owner,
// registry, keys and the folders.
func (c *Config) checkStorage(k *checker) {
	if c.Environment != "" && !isName(c.Environment) {
		k.add("environment", "the environment's name may hold a-z, 0-9 and hyphens, at most 63 characters", "write a name such as production")
	}
	folder := c.checkStore(k)
	c.checkOwner(k)
	c.checkRegistry(k)
	c.checkKeys(k)
	switch {
	case c.Data != "":
		c.Data = k.resolve(c.Data)
	case isPostgres(c.Store):
		k.add("data", "a postgres store has no folder for the journal", "write data: and a folder, such as /var/lib/gatehouse")
	default:
		c.Data = folder
	}
	if c.DataKeys == "" {
		c.DataKeys = filepath.Join(c.Data, "keys")
	} else {
		c.DataKeys = k.resolve(c.DataKeys)
	}
}

// postgresURL names role, host (or several, with commas) and database. Whatever
// else there is goes to the driver as it stands; the driver's own errors quote
// the password.
var postgresURL = regexp.MustCompile(`^postgres(ql)?://[^:@/?#]+(:[^@/?#]*)?@[^@/?#]+/[^/?#]+(\?[^#]*)?$`)

const postgresForm = "postgres://role:password@host/database, with %40 for @, %2F for / and the like in a password" // #nosec G101 -- the form of one

func isPostgres(url Secret) bool {
	return strings.HasPrefix(string(url), "postgres://") || strings.HasPrefix(string(url), "postgresql://")
}

func (c *Config) checkOwner(k *checker) {
	switch {
	case c.StoreOwner == "":
	case !isPostgres(c.Store):
		k.add("store_owner", "only a postgres store has an owner", "leave store_owner out")
	case !postgresURL.MatchString(string(c.StoreOwner)):
		k.add("store_owner", "the owner is not a postgres URL with role, host and database", "write "+postgresForm)
	case role(c.StoreOwner) == role(c.Store):
		k.add("store_owner", "store and store_owner are of the same role, which would own the tables that it must not be above", "make two roles")
	}
}

// role is the name in a URL of [postgresURL]'s form.
func role(url Secret) string {
	_, rest, _ := strings.Cut(string(url), "://")
	return rest[:strings.IndexAny(rest, ":@")]
}

func (c *Config) checkStore(k *checker) (folder string) {
	if c.Store == "" {
		return ""
	}
	if isPostgres(c.Store) {
		if !postgresURL.MatchString(string(c.Store)) {
			k.add("store", "a postgres store is a URL with role, host and database", "write "+postgresForm)
		}
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
	default:
		k.add("store", "unknown kind of store "+quote(u.Scheme), "write sqlite:///var/lib/gatehouse or postgres://role:password@host/database")
	}
	return ""
}

func (c *Config) checkRegistry(k *checker) {
	if c.Registry == "local" || c.Registry == "" {
		return
	}
	scheme, _, _ := strings.Cut(string(c.Registry), "://")
	switch kind := strings.Replace(scheme, "rediss", "redis", 1); {
	case kind != "redis" && kind != "redis+sentinel" && kind != "redis+cluster":
		k.add("registry", "unknown kind of registry "+quote(scheme), "write local, or redis://, redis+sentinel:// or redis+cluster:// (rediss for TLS)")
	case c.Store != "" && !isPostgres(c.Store):
		k.add("registry", "nodes that share sessions must share a store, and files are of one node", "write store: postgres://…, or registry: local")
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
