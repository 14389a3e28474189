package scim

import (
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/scim/resource"
)

// lacking is what a token would have to be allowed, beside what it is, for one call;
// empty: nothing. What the service says of itself, and a Bulk as such, is for all.
func lacking(access identity.Access, method, path string) string {
	segment, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, root), "/"), "/")
	what := action(method, path)
	var words []string
	switch "/" + segment {
	case resource.User.Endpoint:
		words = []string{"users:" + what}
	case resource.Group.Endpoint:
		words = []string{"groups:" + what}
	case "/", searchPath: // both are in one list
		words = []string{"users:" + what, "groups:" + what}
	}
	for _, word := range words {
		if !access.Allows(word) {
			return word
		}
	}
	return ""
}

// insufficientScope is the code of the refusal that RFC 6750 §3.1 calls so.
const insufficientScope = "insufficient-scope"

func errAccess(word string) *fault.Fault {
	return fault.New(fault.Denied, insufficientScope, "This token may not do that: it needs the access %s. An admin can make one that has it.", word)
}
