package configs

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// App is what stands behind the gate.
type App struct {
	Upstreams []string `yaml:"upstreams" live:"true" required:"true" doc:"Base URLs of the app's instances (http://host:port or https://host:port), used in turn while they answer."`
	Health    string   `yaml:"health" live:"true" doc:"Path that is asked every two seconds whether an instance is well. Empty: an instance is well while it takes connections."`
	Routes    []Route  `yaml:"routes" live:"true" required:"true" doc:"What each path asks of its caller. The most specific pattern wins; a path without a route is refused."`
	Headers   Headers  `yaml:"headers" doc:"Names of the identity headers towards the app."`
}

// Route says what one pattern of paths asks of its caller: exactly one of
// Access and Permission.
type Route struct {
	Path       string   `yaml:"path" required:"true" doc:"Pattern: /exact, /public/* (one segment), /files/** (any rest), /teams/{team}/** (a segment that names the team)."`
	Access     string   `yaml:"access" enum:"public,signed_in" doc:"public: everybody; signed_in: every signed-in person of the tenant."`
	Permission string   `yaml:"permission" doc:"Object of the permission, such as billing; the action follows from the method: read, write or delete. object:action names it outright."`
	Methods    []string `yaml:"methods" doc:"Methods the route holds for. Empty: all."`
	StepUp     string   `yaml:"step_up" enum:"recent,mfa" doc:"recent: serves only people who authenticated a short time ago, by the tenant's session.reauth_age; others are asked to again. mfa: serves only people who have shown a second factor a short time ago; others are asked for it."`

	StepUpAge time.Duration `yaml:"step_up_age" doc:"How long ago the second factor may have been shown, for step_up: mfa; between 1m and 168h. 0: the tenant's session.reauth_age."`
}

// Headers names the headers that carry the identity to the app.
type Headers struct {
	Assertion string `yaml:"assertion" default:"X-Gatehouse-Assertion" doc:"The signed identity (JWT, ES256)."`
	Tenant    string `yaml:"tenant" default:"X-Gatehouse-Tenant" doc:"The tenant's name."`
	User      string `yaml:"user" default:"X-Gatehouse-User" doc:"The person's stable id."`
	Email     string `yaml:"email" default:"X-Gatehouse-Email" doc:"The person's email."`
	Name      string `yaml:"name" default:"X-Gatehouse-Name" doc:"The person's display name."`
	Groups    string `yaml:"groups" default:"X-Gatehouse-Groups" doc:"The person's groups."`
	Roles     string `yaml:"roles" default:"X-Gatehouse-Roles" doc:"The person's account-wide roles."`
	Teams     string `yaml:"teams" default:"X-Gatehouse-Teams" doc:"The person's teams and roles there."`
	Session   string `yaml:"session" default:"X-Gatehouse-Session" doc:"The session's id; it is not the session token."`
	RequestID string `yaml:"request_id" default:"X-Gatehouse-Request-Id" doc:"The request's id, also in the journal and in the answer."`
}

func (a *App) check(c *checker) {
	for i, upstream := range a.Upstreams {
		checkUpstream(c, index("app.upstreams", i), upstream)
	}
	if len(a.Upstreams) == 0 {
		c.add("app.upstreams", "there is no upstream", `add one, such as "http://127.0.0.1:8080"`)
	}
	if a.Health != "" && (!strings.HasPrefix(a.Health, "/") || strings.ContainsAny(a.Health, " \t\r\n#")) {
		c.add("app.health", quote(a.Health)+" is not a path", "write a path such as /healthz")
	}
	if len(a.Routes) == 0 {
		c.add("app.routes", "there is no route, so every request would be refused", "add one, such as { path: /**, access: signed_in }")
	}
	seen := map[string]bool{}
	for i := range a.Routes {
		key := index("app.routes", i)
		a.Routes[i].check(c, key)
		name := a.Routes[i].Path + " " + strings.Join(slices.Sorted(slices.Values(a.Routes[i].Methods)), ",")
		if seen[name] && a.Routes[i].Path != "" {
			c.add(key, "the route "+a.Routes[i].Path+" stands here twice", "remove one, or give them different methods")
		}
		seen[name] = true
	}
	a.Headers.check(c)
}

func checkUpstream(c *checker, key, upstream string) {
	u, err := url.Parse(upstream)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		c.add(key, quote(upstream)+" is not the URL of an app", `write "http://host:port"`)
	case u.Scheme != "http" && u.Scheme != "https":
		c.add(key, "upstreams are reached over http or https, not "+quote(u.Scheme), `write "http://host:port"`)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		c.add(key, "an upstream is scheme, host and port alone", "write "+quote(u.Scheme+"://"+u.Host))
	}
}

func (r *Route) check(c *checker, key string) {
	if what := badPattern(r.Path); what != "" {
		c.add(key+".path", what, "write a pattern such as /exact, /public/*, /files/** or /api/teams/{team}/**")
	}
	switch {
	case r.Access == "" && r.Permission == "":
		if c.broken[key+".access"] || c.broken[key+".permission"] {
			break
		}
		c.add(key, "the route asks for nothing", "add access: public, access: signed_in or permission: OBJECT")
	case r.Access != "" && r.Permission != "":
		c.add(key+".permission", "a route has either access or permission", "remove one; a permission includes being signed in")
	case r.Permission != "" && !isPermission(r.Permission):
		c.add(key+".permission", quote(r.Permission)+" is not a permission", "write an object such as billing, or object:action such as billing:read")
	case strings.HasPrefix(r.Permission, "gatehouse"):
		c.add(key+".permission", "objects that begin with gatehouse are the gateway's own", "name the object after what it is in your app")
	}
	for i, method := range r.Methods {
		if !slices.Contains(methods, method) {
			c.add(index(key+".methods", i), "unknown method "+quote(method), "write one of "+strings.Join(methods, ", ")+suggestion(method, methods))
		}
	}
	switch {
	case r.StepUp != "" && r.Access == "public":
		c.add(key+".step_up", "a public route asks nobody to sign in, so there is no authentication that could be recent", "remove step_up, or write access: signed_in")
	case r.StepUpAge != 0 && r.StepUp != "mfa":
		c.add(key+".step_up_age", "the age is that of a second factor, and the route asks for none", "remove step_up_age, or write step_up: mfa")
	case r.StepUpAge != 0 && (r.StepUpAge < time.Minute || r.StepUpAge > 168*time.Hour):
		c.add(key+".step_up_age", "nobody could work with a second factor of less than a minute, and none of a week ago says anything", "write a time between 1m and 168h")
	}
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// badPattern says what is wrong with a route's pattern; empty if nothing is.
func badPattern(pattern string) string {
	if pattern == "" || pattern == "/" {
		return "" // an empty one is reported as missing
	}
	if !strings.HasPrefix(pattern, "/") {
		return "the path does not begin with /"
	}
	segments := strings.Split(pattern[1:], "/")
	if len(segments) > 64 {
		return "the path has more than 64 segments"
	}
	names := map[string]bool{}
	for i, segment := range segments {
		last := i == len(segments)-1
		name, placeholder := strings.CutPrefix(segment, "{")
		switch {
		case segment == "" && !last:
			return "the path has an empty segment"
		case segment == "." || segment == "..":
			return "the path has a dot segment, which no request may have"
		case segment == "**" && !last:
			return "** stands for any rest, so it can only be the last segment"
		case segment == "*" || segment == "**":
		case placeholder:
			if name, placeholder = strings.CutSuffix(name, "}"); !placeholder || !isName(name) {
				return "a placeholder is a whole segment such as {team}"
			}
			if names[name] {
				return "the placeholder {" + name + "} stands here twice"
			}
			names[name] = true
		case strings.ContainsAny(segment, "*{}"):
			return "* and {name} stand for whole segments"
		case strings.ContainsAny(segment, "%?#;\\\x7f") || strings.ContainsFunc(segment, func(r rune) bool { return r <= ' ' }):
			return "the path holds a character that no admitted request has"
		}
	}
	if strings.HasPrefix(pattern, "/.gatehouse") || strings.HasPrefix(pattern, "/scim/v2") {
		return "paths under /.gatehouse and /scim/v2 are the gateway's own"
	}
	return ""
}

func isPermission(s string) bool {
	object, action, both := strings.Cut(s, ":")
	return isObject(object) && (!both || isObject(action))
}

func isObject(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
}
