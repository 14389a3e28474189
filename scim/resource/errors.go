package resource

import (
	"fmt"
	"net/http"

	scimerrors "github.com/elimity-com/scim/errors"
)

// Bad is a 400 with a keyword that programs act on (RFC 7644 §3.12, table 9)
// and a sentence that tells the admin of the identity provider what to mend.
func Bad(kind scimerrors.ScimType, format string, args ...any) error {
	return scimerrors.ScimError{ScimType: kind, Detail: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}
