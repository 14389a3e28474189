package configs

// Config is the whole file, checked and with its defaults filled in. Keys that
// are tagged live, and all beneath them, may change while the gateway runs; the
// others wait for a restart.
type Config struct {
	Environment string   `yaml:"environment" required:"true" doc:"Name of the environment, such as production or staging. It is stamped into the stores, and data of another environment is refused."`
	Data        string   `yaml:"data" doc:"Folder for the journal, the internal CA and the admin socket. Default: the folder of an sqlite store; a postgres store has none."`
	Listen      Listen   `yaml:"listen" doc:"Addresses to listen on."`
	TLS         TLS      `yaml:"tls" live:"true" required:"true" doc:"Certificates and protocol versions."`
	Store       Secret   `yaml:"store" required:"true" doc:"Where people, sessions and policy are kept: sqlite:///absolute/folder, or postgres://role:password@host/database."`
	StoreOwner  Secret   `yaml:"store_owner" doc:"URL of the postgres role that owns the tables, which brings them to the newest form at the start. Without it they must be in that form."`
	Registry    Secret   `yaml:"registry" default:"local" doc:"Where the nodes agree on what has changed and share live sessions: local for one node; for several, on one postgres store, redis://[user:password@]host:port[/db], redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port (rediss for TLS)."`
	Keys        string   `yaml:"keys" required:"true" doc:"The key-encryption key: file:///absolute/path, created at the first start with mode 0600, and never where there is data already."`
	DataKeys    string   `yaml:"data_keys" doc:"Folder of the tenants' data keys, each wrapped by the key of keys. Gateways on one postgres store share it. Default: the folder keys in data."`
	Operator    Operator `yaml:"operator" required:"true" doc:"The operators' own host."`
	App         App      `yaml:"app" required:"true" doc:"The app behind the gate."`
	Limits      Limits   `yaml:"limits" live:"true" doc:"Sizes and times that bound every request."`
	Egress      Egress   `yaml:"egress" live:"true" doc:"Where the gateway may connect to on behalf of a tenant's settings."`

	Resolver string `yaml:"resolver" doc:"DNS server that is asked whether a domain belongs to a tenant, as address:port. Default: those of the machine."`

	source source
}

// Operator is where the operators' own console and API are.
type Operator struct {
	Host string `yaml:"host" required:"true" doc:"Host name of the operators' console and API, without port."`
}

// source remembers where each value stood, so that checks that run later can
// still name the line.
type source struct {
	file string
	at   map[string]position
}

type position struct{ line, column int }

// locate gives the position of a key path such as "app.routes[2].path", or of
// the nearest enclosing key that was written.
func (s source) locate(path string) position {
	for path != "" {
		if p, ok := s.at[path]; ok {
			return p
		}
		path = parent(path)
	}
	return position{1, 1}
}

func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}
