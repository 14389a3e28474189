package scim

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/internal/fault"
	"gatehouse/scim/resource"
)

const maxBody = 1 << 20

// readObject reads the request's one JSON object, at most 1 MiB of it.
func readObject(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	if err := checkContentType(r.Header.Values("Content-Type")); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fault.Wrap(tooBig, fault.TooLarge, "body-too-large", "The request body is larger than 1 MiB.")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "body-unreadable", "The request body ended early.")
	}
	return resource.Decode(data)
}

// checkContentType accepts SCIM's own media type and plain JSON (RFC 7644
// §3.1), in UTF-8.
func checkContentType(values []string) error {
	if len(values) == 1 {
		media, params, err := mime.ParseMediaType(values[0])
		charset, given := params["charset"]
		if err == nil && (media == mediaType || media == "application/json") && (!given || strings.EqualFold(charset, "utf-8")) {
			return nil
		}
	}
	return scimerrors.ScimError{Status: http.StatusUnsupportedMediaType,
		Detail: "The Content-Type must be application/scim+json or application/json, in UTF-8."}
}
