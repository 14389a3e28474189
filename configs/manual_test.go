package configs

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const manualFile = "../docs/configuration.md"

const manualHead = `# Configuration

` + "`gatehouse serve --config FILE` takes one YAML file; `gatehouse check --config FILE` names every problem in it with its line and what to do. Unknown and duplicate keys are problems. `${NAME}` takes a value from the environment, and `store`, `store_owner` and `registry` may also be `file:PATH`, so that no secret need stand in the file. Paths are relative to the file's folder." + `

` + "[configs/samples](../configs/samples) holds annotated files to start from, [configs/schema.json](../configs/schema.json) the JSON Schema for editors. A changed file is taken over while the gateway runs, within two seconds or at SIGHUP: keys that are marked *live* take effect at once, with a record in the platform's journal before that names them. The others wait for a *restart*, and are named in the log, in `/readyz` and counted in `gatehouse_config_keys_waiting`. A file with problems changes nothing: the log says why with file and line, and `gatehouse_config_refused` is 1 until it is mended. Requests under way finish by what they began with; what a connection goes by (`tls`, the size of a head, times) holds for new ones, and open ones end with their next answer." + `

Tenants, connections, roles and assignments are not in this file: they are set by the console, the admin API or [` + "`gatehouse apply`" + `](cli.md#apply).

[storage.md](storage.md) tells how to prepare a PostgreSQL for ` + "`store`" + `. This page is written from the same tags that loading goes by.
`

// manual writes the reference of every key.
func manual() string {
	var b strings.Builder
	b.WriteString(manualHead)
	fmt.Fprintf(&b, "\n## Top level\n\n")
	section(&b, "", reflect.TypeFor[Config](), false)
	return b.String()
}

func section(b *strings.Builder, path string, t reflect.Type, live bool) {
	fmt.Fprintf(b, "| key | default | change | meaning |\n| --- | --- | --- | --- |\n")
	var inner []reflect.StructField
	for _, f := range orderedFields(t) {
		name := f.Tag.Get("yaml")
		standard := "—"
		switch value := f.Tag.Get("default"); {
		case value != "":
			standard = "`" + value + "`"
		case f.Tag.Get("required") != "":
			standard = "required"
		}
		doc := f.Tag.Get("doc")
		if choices := f.Tag.Get("enum"); choices != "" {
			doc += " One of `" + strings.ReplaceAll(choices, ",", "`, `") + "`."
		}
		change := "restart"
		if live || isLive(f) {
			change = "live"
		}
		if sectionOf(f.Type) != nil {
			inner = append(inner, f)
			doc += " See below."
			if change != "live" {
				change = "—"
			}
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, standard, change, strings.ReplaceAll(doc, "|", `\|`))
	}
	for _, f := range inner {
		name := strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), ".")
		fmt.Fprintf(b, "\n## %s\n\n", name)
		section(b, name, sectionOf(f.Type), live || isLive(f))
	}
}

// sectionOf is the struct that a key holds, or a list of; nil for scalars.
func sectionOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || isText(reflect.New(t).Elem()) {
		return nil
	}
	return t
}

func TestManualIsPublished(t *testing.T) {
	want := manual()
	if *update {
		if err := os.WriteFile(manualFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manualFile)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the types say (%v): run go generate ./configs", manualFile, err)
	}
}

func TestFlagsAreTrueOrFalse(t *testing.T) {
	sample, err := os.ReadFile("samples/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for value, good := range map[string]bool{"true": true, "false": true, "yes": false, "1": false} {
		text := strings.Replace(string(sample), "tls:", "listen: { profiles: "+value+" }\ntls:", 1)
		config, problems := Parse("gate.yaml", []byte(text), Surroundings{})
		if good != (len(problems) == 0) {
			t.Fatalf("profiles: %s: %v", value, problems)
		}
		if good && config.Listen.Profiles != (value == "true") {
			t.Errorf("profiles: %s is read as %v", value, config.Listen.Profiles)
		}
	}
}
