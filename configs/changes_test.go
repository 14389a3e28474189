package configs

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestChangesTellLiveKeysFromTheOthers(t *testing.T) {
	parse := func(replacements ...string) *Config {
		t.Helper()
		config, problems := Parse("/etc/gatehouse/gate.yaml", []byte(strings.NewReplacer(replacements...).Replace(referring)), surroundings)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return config
	}
	before := parse()
	if live, waiting := before.Changes(parse()); live != nil || waiting != nil {
		t.Errorf("the same file: %v, %v", live, waiting)
	}
	after := parse("min_version: 1.3", "min_version: 1.2", "10.1.2.3", "10.1.2.4", "access: signed_in", "access: public",
		"admin.localhost", "ops.localhost", "environment: ${NAME}", "environment: other\nlimits: { requests: 7 }")
	live, waiting := before.Changes(after)
	if want := []string{"listen.trusted_proxies", "tls.min_version", "app.routes", "limits.requests"}; !slices.Equal(live, want) {
		t.Errorf("live %v, want %v", live, want)
	}
	if want := []string{"environment", "operator.host"}; !slices.Equal(waiting, want) {
		t.Errorf("waiting %v, want %v", waiting, want)
	}

	renewed := before.Renewed(after)
	if live, left := renewed.Changes(after); live != nil || !slices.Equal(left, waiting) {
		t.Errorf("what was taken over still differs: %v, %v", live, left)
	}
	if renewed.Operator.Host != "admin.localhost" || renewed.Limits.Requests != 7 || before.Limits.Requests != 20_000 {
		t.Errorf("renewed %+v of %+v", renewed, before)
	}
}

// Every key is compared, whatever its type.
func TestEveryKeyIsCompared(t *testing.T) {
	for _, k := range keys(reflect.TypeFor[Config](), "", nil, false) {
		before, after := new(Config), new(Config)
		switch v := k.of(after); v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		default:
			v.SetInt(1)
		}
		if live, waiting := before.Changes(after); !slices.Equal(append(live, waiting...), []string{k.path}) {
			t.Errorf("%s: %v, %v", k.path, live, waiting)
		}
		if got := slices.Contains(LiveKeys(), k.path); got != k.live {
			t.Errorf("%s is live: %t", k.path, got)
		}
	}
}
