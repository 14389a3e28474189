package oauth2

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/authn"
)

// Bounds of what a provider says.
const (
	maxCode    = 4 << 10
	maxToken   = 8 << 10
	maxDepth   = 24
	maxSubject = 255
	maxPages   = 20   // of one list
	maxEntries = 1000 // of one list, and groups in all
	maxGroup   = 1024 // bytes of a group's name
)

// check is one reason not to accept something that a provider says.
type check[T any] struct {
	name   string
	refuse func(T) *authn.Refusal // nil: nothing against it
}

// all gives the first refusal.
func all[T any](list []check[T], of T) error {
	for _, c := range list {
		if refusal := c.refuse(of); refusal != nil {
			return refusal
		}
	}
	return nil
}

// checks are all reasons not to accept an answer, in the order in which the parts
// of it arrive. Each holds by itself: a test leaves out one at a time, and sees
// somebody get in who should not.
type checks struct {
	responses []check[response]
	replies   []check[*reply]
	documents []check[*document]
	grants    []check[grant]
	subjects  []check[subject]
	pages     []check[*page]
	addresses []check[[]address]
	groups    []check[groupName]
	answers   []check[answered]
}

var allChecks = checks{
	// The authorisation response, by the browser.
	responses: []check[response]{
		{"the issuer is the connection's", func(r response) *authn.Refusal {
			// RFC 9207 §2.4: a provider that names itself always does.
			if r.issuer != "" && single(r.form, "iss") != r.issuer {
				return authn.Refuse(authn.WrongIssuer, "The answer came from another identity provider than the one that was asked, or does not say from which.")
			}
			return nil
		}},
		{"the provider says no error", func(r response) *authn.Refusal {
			if r.form.Has("error") {
				return authn.Refuse(authn.ProviderRefused, "The identity provider answered with the error %s.", errorName(single(r.form, "error")))
			}
			return nil
		}},
		{"there is one code", func(r response) *authn.Refusal {
			if code := single(r.form, "code"); code == "" || len(code) > maxCode {
				return authn.Refuse(authn.Malformed, "The answer holds no code, more than one, or one that is too long.")
			}
			return nil
		}},
	},
	// Every answer over HTTP.
	replies: []check[*reply]{
		{"the status is 200", func(r *reply) *authn.Refusal {
			if r.status == http.StatusOK {
				return nil
			}
			if r.asked == askToken && r.status >= http.StatusBadRequest && r.status < http.StatusInternalServerError {
				return rejected(r.errorName())
			}
			return authn.Refuse(authn.ProviderUnreachable, "The identity provider answered the request for %s with the status %d.", r.asked, r.status)
		}},
		{"the media type is one of data", func(r *reply) *authn.Refusal {
			if !r.isJSON() && (r.asked != askToken || r.media != mediaForm) {
				return authn.Refuse(authn.WrongMediaType, "The identity provider answered the request for %s with something else than JSON.", r.asked)
			}
			return nil
		}},
		{"the size is bounded", func(r *reply) *authn.Refusal {
			if len(r.body) > r.asked.limit() {
				return tooLarge(r.asked)
			}
			return nil
		}},
	},
	// What it is read as.
	documents: []check[*document]{
		{"the text is UTF-8", func(d *document) *authn.Refusal {
			if !d.utf8 {
				return authn.Refuse(authn.Malformed, "The identity provider's answer about %s is not UTF-8 text.", d.asked)
			}
			return nil
		}},
		{"the nesting is bounded", func(d *document) *authn.Refusal {
			if d.depth > maxDepth {
				return authn.Refuse(authn.TooDeep, "The identity provider's answer about %s is nested deeper than %d levels.", d.asked, maxDepth)
			}
			return nil
		}},
		{"no name comes twice", func(d *document) *authn.Refusal {
			if d.twice {
				return authn.Refuse(authn.Malformed, "The identity provider's answer about %s says one thing twice, so that it can be read in two ways.", d.asked)
			}
			return nil
		}},
		{"nothing follows", func(d *document) *authn.Refusal {
			if d.more {
				return authn.Refuse(authn.Malformed, "The identity provider's answer about %s goes on behind its end.", d.asked)
			}
			return nil
		}},
	},
	// The token answer (RFC 6749 §5).
	grants: []check[grant]{
		{"the token answer says no error", func(g grant) *authn.Refusal {
			if g.failed { // some say so with the status 200
				return rejected(errorName(g.failure))
			}
			return nil
		}},
		{"the token is one", func(g grant) *authn.Refusal {
			if g.token == "" || len(g.token) > maxToken || strings.ContainsFunc(g.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return authn.Refuse(authn.Malformed, "The identity provider gave no access token, or one that none can be (RFC 6749 appendix A.12).")
			}
			return nil
		}},
		{"the token is for its bearer", func(g grant) *authn.Refusal {
			if !strings.EqualFold(g.kind, "bearer") { // RFC 6749 §7.1: another kind must not be used
				return authn.Refuse(authn.WrongTokenType, "The identity provider gave an access token of another type than bearer.")
			}
			return nil
		}},
	},
	// Who it is.
	subjects: []check[subject]{
		{"the subject is a name or a number", func(s subject) *authn.Refusal {
			if !s.named && !s.whole {
				return authn.Refuse(authn.SubjectUnusable, "The identity provider's id of the person is missing, or neither text nor a whole number above 0.")
			}
			return nil
		}},
		{"the subject has a length", func(s subject) *authn.Refusal {
			if s.text == "" || len(s.text) > maxSubject {
				return authn.Refuse(authn.SubjectUnusable, "The identity provider's id of the person is empty or longer than %d bytes.", maxSubject)
			}
			return nil
		}},
		{"the subject is plain text", func(s subject) *authn.Refusal {
			if !plain(s.text) {
				return authn.Refuse(authn.SubjectUnusable, "The identity provider's id of the person holds characters that cannot be told apart.")
			}
			return nil
		}},
	},
	// Lists.
	pages: []check[*page]{
		{"the page is a list", func(p *page) *authn.Refusal {
			if !p.list {
				return authn.Refuse(p.asked.unusable(), "The identity provider's answer about %s is no list.", p.asked)
			}
			return nil
		}},
		{"there is one next page", func(p *page) *authn.Refusal {
			if p.broken || len(p.next) > 1 {
				return authn.Refuse(p.asked.unusable(), "The identity provider does not say clearly where its list of %s goes on.", p.asked)
			}
			return nil
		}},
		{"the next page is at the same place", func(p *page) *authn.Refusal {
			if next := p.following(); next != nil && !sameOrigin(next, p.at) {
				return authn.Refuse(p.asked.unusable(), "The list of %s is said to go on at another host, which must not get the token.", p.asked)
			}
			return nil
		}},
		{"no page comes twice", func(p *page) *authn.Refusal {
			if next := p.following(); next != nil && slices.Contains(p.seen, next.String()) {
				return authn.Refuse(p.asked.unusable(), "The list of %s leads back to a page that was read already.", p.asked)
			}
			return nil
		}},
		{"the pages are bounded", func(p *page) *authn.Refusal {
			if len(p.seen) >= maxPages && p.following() != nil {
				return authn.Refuse(authn.TooLarge, "The list of %s has more than %d pages.", p.asked, maxPages)
			}
			return nil
		}},
		{"the entries are bounded", func(p *page) *authn.Refusal {
			if p.entries > maxEntries {
				return authn.Refuse(authn.TooLarge, "The list of %s has more than %d entries.", p.asked, maxEntries)
			}
			return nil
		}},
	},
	addresses: []check[[]address]{
		{"one address is the primary one", func(list []address) *authn.Refusal {
			n := 0
			for _, a := range list {
				if a.primary {
					n++
				}
			}
			if n > 1 {
				return authn.Refuse(authn.EmailUnusable, "The identity provider calls several addresses the primary one.")
			}
			return nil
		}},
		{"no address comes twice", func(list []address) *authn.Refusal {
			seen := map[string]bool{}
			for _, a := range list {
				key := strings.ToLower(a.email)
				if seen[key] {
					return authn.Refuse(authn.EmailUnusable, "The identity provider lists an address twice.")
				}
				seen[key] = true
			}
			return nil
		}},
	},
	groups: []check[groupName]{
		{"every group has a name", func(g groupName) *authn.Refusal {
			if slices.Contains(g.parts, "") {
				return authn.Refuse(authn.GroupsUnusable, "A group has no name where the connection says that it is.")
			}
			return nil
		}},
		{"a group's name has one reading", func(g groupName) *authn.Refusal {
			if len(g.parts) > 1 && slices.ContainsFunc(g.parts, func(part string) bool { return strings.Contains(part, "/") }) {
				return authn.Refuse(authn.GroupsUnusable, "A part of a group's name holds the slash that parts are joined with.")
			}
			return nil
		}},
		{"a group's name is plain text", func(g groupName) *authn.Refusal {
			if name := g.String(); len(name) > maxGroup || !plain(name) {
				return authn.Refuse(authn.GroupsUnusable, "A group's name is too long, or holds characters that cannot be told apart.")
			}
			return nil
		}},
	},
	// All of it together.
	answers: []check[answered]{
		{"the groups are bounded", func(a answered) *authn.Refusal {
			if len(a.groups) > maxEntries {
				return authn.Refuse(authn.TooLarge, "The person is in more than %d groups.", maxEntries)
			}
			return nil
		}},
		{"all answers are about one person", func(a answered) *authn.Refusal {
			if a.before != a.after {
				return authn.Refuse(authn.SubjectUnusable, "The identity provider answered about two different people.")
			}
			return nil
		}},
	},
}

func rejected(name string) *authn.Refusal {
	return authn.Refuse(authn.CodeRejected, "The identity provider rejected the code with the error %s.", name)
}

func tooLarge(asked question) *authn.Refusal {
	return authn.Refuse(authn.TooLarge, "The identity provider's answer about %s is too large.", asked)
}

// response is an authorisation response.
type response struct {
	form   url.Values
	issuer string // of the connection; "" if it names none
}

// single is a parameter that may come once (RFC 6749 §3.1).
func single(form url.Values, name string) string {
	if v := form[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// errorName keeps what a stranger could write out of the journal.
func errorName(name string) string {
	const longest = 64
	if name == "" || len(name) > longest || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return "unknown"
	}
	return name
}

// plain reports whether a name cannot be taken for another one: no control
// characters, no space at an end, and nothing that stands for what could not be
// decoded, which is the same for everything (half of a surrogate pair).
func plain(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsFunc(s, unicode.IsControl)
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) && a.User == nil
}
