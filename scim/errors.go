package scim

import (
	"errors"
	"strconv"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

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
	case f.Code == "members-too-many", f.Code == "groups-too-many":
		e.ScimType = scimerrors.ScimTypeTooMany
	case f.Code == "invalid-filter":
		e.ScimType = scimerrors.ScimTypeInvalidFilter
	case f.Code == "invalid-position":
		e.ScimType = invalidCursor
	case f.Kind == fault.Invalid:
		e.ScimType = scimerrors.ScimTypeInvalidValue
	}
	if f.Event != "" {
		e.Detail += " Your admin finds this refusal in the log as " + f.Event + "."
	}
	return e
}

// retryAfter is when a client that does too much may ask again, in whole seconds (RFC
// 6585 §4).
func retryAfter(err error) string {
	wait := max(fault.As(err).RetryAfter, time.Second)
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}
