package configs

import (
	"strings"
	"testing"
)

func TestStoresAreAbsoluteFolders(t *testing.T) {
	for store, ok := range map[string]bool{
		"sqlite:///srv/gatehouse": true, "sqlite:///srv/with space": true,
		"sqlite://srv/gatehouse": false, "sqlite:srv": false, "sqlite:///srv#1": false, "sqlite:///srv?x=1": false,
		"sqlite:///srv/%41": false, "sqlite://user@/srv": false, "mysql://db": false, "postgres://db/x": false, "::": false,
	} {
		written := strings.Replace(referring, "store: file:url", "store: \""+store+"\"", 1)
		if _, problems := Parse("/etc/gatehouse/gate.yaml", []byte(written), surroundings); (len(problems) == 0) != ok {
			t.Errorf("%s: %v", store, problems)
		}
	}
}
