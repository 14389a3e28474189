package configs

import (
	"errors"
	"io/fs"
	"strings"
)

// maxSecretBytes bounds a file that file: refers to.
const maxSecretBytes = 64 << 10

// expand replaces ${NAME} by the environment's value and, for a secret, file:PATH
// by the file's content without its last line break. "$${" stands for "${".
// What is found is never expanded again, and never quoted in a problem.
func (d *decoder) expand(value string, secret bool) (expanded, problem, fix string) {
	if path, ok := strings.CutPrefix(value, "file:"); ok && secret {
		content, err := d.around.ReadFile(d.resolve(path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", "there is no file " + quote(path), "create it, or correct the path"
		case err != nil:
			return "", "the file " + quote(path) + " cannot be read", "check its permissions and size (at most 64 KiB)"
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
		if text == "" {
			return "", "the file " + quote(path) + " is empty", "write the secret into it"
		}
		return text, "", ""
	}
	var b strings.Builder
	for rest := value; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), "", ""
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(literal + "${")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || !isVariable(name) {
			return "", "${ begins a reference to an environment variable", "write ${NAME}, or $${ for the characters themselves"
		}
		content, set := d.around.LookupEnv(name)
		if !set || content == "" {
			return "", "the environment variable " + name + " is not set", "set it where the gateway is started"
		}
		b.WriteString(before + content)
		rest = tail
	}
}

func isVariable(s string) bool {
	return s != "" && (s[0] < '0' || s[0] > '9') && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
}
