package demo

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"gatehouse/configs"
)

//go:embed gatehouse.yaml.tmpl
var configSource string

// configTemplate quotes with JSON, whose strings are YAML strings as well.
var configTemplate = template.Must(template.New("config").Funcs(template.FuncMap{
	"quote": func(s string) (string, error) { text, err := json.Marshal(s); return string(text), err },
}).Parse(configSource))

// writeConfig writes the gateway's config file into the data folder and loads
// it as `gatehouse serve` would.
func writeConfig(data, addr, app, resolver string) (*configs.Config, error) {
	var text strings.Builder
	err := configTemplate.Execute(&text, map[string]string{"Data": data, "Addr": addr, "App": app, "Resolver": resolver,
		"Store": "sqlite://" + filepath.Join(data, "store"), "Keys": "file://" + filepath.Join(data, "kek.key")})
	if err != nil {
		return nil, fmt.Errorf("demo: config: %w", err)
	}
	path := filepath.Join(data, "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return nil, fmt.Errorf("demo: config: %w", err)
	}
	config, problems, err := configs.Load(path)
	if err != nil {
		return nil, fmt.Errorf("demo: config: %w", err)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("demo: config: %v", problems)
	}
	return config, nil
}
