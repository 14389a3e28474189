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

var errBodySize = fault.New(fault.TooLarge, "body-too-large", "The request body is larger than 1 MiB.")

// readObject reads the request's one JSON object, at most 1 MiB of it.
func readObject(w http.ResponseWriter, r *http.Request, n *note) (map[string]any, error) {
	data, err := readBody(w, r, n, maxBody, errBodySize)
	if err != nil {
		return nil, err
	}
	return resource.Decode(data)
}

// readBody reads the request's body, which is noted; tooLarge is for one of more than
// limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, n *note, limit int64, tooLarge error) ([]byte, error) {
	if err := checkContentType(r.Header.Values("Content-Type")); err != nil {
		return nil, err
	}
	// What is packed can be anything once it is unpacked.
	if coding := joined(r.Header, "Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 §12.5.3
		return nil, scimerrors.ScimError{Status: http.StatusUnsupportedMediaType, Detail: "Send the request body as it is, without a Content-Encoding."}
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
		return nil, tooLarge
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "body-unreadable", "The request body ended early.")
	}
	n.body(data)
	return data, nil
}

// joined is a header field that is a list, whose lines are one (RFC 9110 §5.3).
func joined(h http.Header, name string) string { return strings.Join(h.Values(name), ",") }

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
