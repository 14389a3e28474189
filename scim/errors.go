package scim

import (
	"errors"
	"fmt"
	"net/http"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// bad is a 400 with a keyword that programs act on (RFC 7644 §3.12, table 9)
// and a sentence that tells the admin of the identity provider what to mend.
func bad(kind scimerrors.ScimType, format string, args ...any) error {
	return scimerrors.ScimError{ScimType: kind, Detail: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// describe turns any error into SCIM's form. What is not ours to show becomes
// a 500 without its text.
func describe(err error) scimerrors.ScimError {
	if e, ok := errors.AsType[scimerrors.ScimError](err); ok {
		return e
	}
	f := fault.As(err)
	e := scimerrors.ScimError{Status: httpkit.Status(f.Kind), Detail: f.Detail}
	switch {
	case f.Code == "uniqueness":
		e.ScimType = scimerrors.ScimTypeUniqueness
	case f.Code == "invalid-filter":
		e.ScimType = scimerrors.ScimTypeInvalidFilter
	case f.Kind == fault.Invalid:
		e.ScimType = scimerrors.ScimTypeInvalidValue
	}
	if f.Event != "" {
		e.Detail += " Your admin finds this refusal in the log as " + f.Event + "."
	}
	return e
}
