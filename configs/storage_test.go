package configs

import (
	"slices"
	"strings"
	"testing"
)

func TestStoresAreFoldersOrDatabases(t *testing.T) {
	for store, ok := range map[string]bool{
		"sqlite:///srv/gatehouse": true, "sqlite:///srv/with space": true,
		"sqlite://srv/gatehouse": false, "sqlite:srv": false, "sqlite:///srv#1": false, "sqlite:///srv?x=1": false,
		"sqlite:///srv/%41": false, "sqlite://user@/srv": false, "mysql://db": false, "::": false,
		"postgres://app@db/x": true, "postgresql://app:p%40ss@db1:5432,db2:5433/x?sslmode=verify-full&target_session_attrs=any": true,
		"postgres://db/x": false, "postgres://app@db": false, "postgres://app@db/": false, "postgres://:p@db/x": false,
		"postgres://app:p@ss@db/x": false, "postgres://app:p/ss@db/x": false, "postgres://app@/x": false, "postgres://app@db/x#y": false, "postgres:x": false,
	} {
		written := strings.Replace(referring, "store: file:url", "store: \""+store+"\"", 1)
		if _, problems := Parse("/etc/gatehouse/gate.yaml", []byte(written), surroundings); (len(problems) == 0) != ok {
			t.Errorf("%s: %v", store, problems)
		}
	}
}

func TestDataKeysAreAFolder(t *testing.T) {
	for written, want := range map[string]string{"/mnt/shared/keys": "/mnt/shared/keys", "shared": "/etc/gatehouse/shared"} {
		config, problems := Parse("/etc/gatehouse/gate.yaml", []byte(referring+"data_keys: "+written+"\n"), surroundings)
		if len(problems) > 0 || config.DataKeys != want {
			t.Errorf("%s: %q, %v", written, config.DataKeys, problems)
		}
	}
}

func TestWhatGoesWithWhichStore(t *testing.T) {
	for c, want := range map[string]string{
		"store: postgres://app:hunter2@db/x":                                             "",
		"store: postgres://app:hunter2@db/x\nstore_owner: postgres://owner:hunter2@db/x": "",
		"store: postgres://app:hunter2@db/x\nstore_owner: postgres://app:other@db/x":     "same role",
		"store: postgres://app:hunter2@db/x\nstore_owner: hunter2":                       "not a postgres URL",
		"store: sqlite:///srv\nstore_owner: postgres://owner:hunter2@db/x":               "has an owner",
		"store: sqlite:///srv\nregistry: redis://:hunter2@cache":                         "share a store",
		"store: postgres://app:hunter2@db/x\nregistry: rediss+cluster://a,b":             "",
		"store: postgres://app:hunter2@db/x\nregistry: memcached://a":                    "unknown kind",
	} {
		written := strings.Replace(referring, "store: file:url", c, 1)
		_, problems := Parse("/etc/gatehouse/gate.yaml", []byte(written), surroundings)
		if len(problems) > 1 || (len(problems) == 0) != (want == "") {
			t.Errorf("%s: %v, want %q", c, problems, want)
			continue
		}
		for _, p := range problems {
			if !strings.Contains(p.What, want) || strings.Contains(p.String(), "hunter2") {
				t.Errorf("%s: %v, want %q", c, p, want)
			}
		}
		written = strings.Replace(written, "data: here", "", 1)
		_, problems = Parse("/etc/gatehouse/gate.yaml", []byte(written), surroundings)
		if missing := slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.What, "no folder for the journal") }); missing == strings.HasPrefix(c, "store: sqlite") {
			t.Errorf("%s without a data folder: %v", c, problems)
		}
	}
}
