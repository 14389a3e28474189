package configs

import (
	"reflect"
	"strings"
)

// reservedHeaders belong to HTTP or to the gate itself; an identity in one of
// them would be lost, or would change what the request means.
var reservedHeaders = map[string]bool{
	"authorization": true, "connection": true, "content-encoding": true, "content-length": true,
	"content-type": true, "cookie": true, "date": true, "expect": true, "forwarded": true, "host": true,
	"keep-alive": true, "origin": true, "proxy-authenticate": true, "proxy-authorization": true,
	"proxy-connection": true, "range": true, "referer": true, "set-cookie": true, "te": true,
	"trailer": true, "transfer-encoding": true, "upgrade": true, "user-agent": true, "via": true,
	"x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true,
}

func (h *Headers) check(c *checker) {
	seen := map[string]string{}
	fields := reflect.ValueOf(*h)
	for field, value := range fields.Fields() {
		key, name := "app.headers."+field.Tag.Get("yaml"), value.String()
		folded := strings.ReplaceAll(strings.ToLower(name), "_", "-") // servers behind fold them alike
		switch {
		case !isHeaderName(name):
			c.add(key, quote(name)+" is not a header name", "use letters, digits and hyphens, such as "+field.Tag.Get("default"))
		case reservedHeaders[folded]:
			c.add(key, "the header "+name+" has a meaning of its own", "choose a name such as "+field.Tag.Get("default"))
		case seen[folded] != "":
			c.add(key, "the header "+name+" already carries the "+seen[folded], "give each part of the identity a header of its own")
		}
		seen[folded] = field.Tag.Get("yaml")
	}
}

// isHeaderName is narrower than RFC 9110 §5.6.2: no underscore and no odd
// characters, which servers behind the gate rewrite in different ways.
func isHeaderName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}
