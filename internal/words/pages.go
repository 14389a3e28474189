package words

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
)

// Pages are templates, parsed once for every language. They have two functions: t says
// a sentence ([Language.Say]), when writes a time ([Language.When]).
type Pages map[*Language]*template.Template

// Parse parses templates. They are part of the program, so that a mistake in one panics.
func Parse(files fs.FS, pattern string) Pages {
	all := Pages{}
	for _, l := range spoken {
		functions := template.FuncMap{"t": l.Say, "when": l.When}
		all[l] = template.Must(template.New("").Funcs(functions).ParseFS(files, pattern))
	}
	return all
}

// Render fills a template in.
func (p Pages) Render(l *Language, name string, data any) (template.HTML, error) {
	var b bytes.Buffer
	if err := p[l].ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return template.HTML(b.String()), nil // #nosec G203 -- html/template escaped it just now
}
