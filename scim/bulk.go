package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/scim/resource"
)

// The messages of a Bulk (RFC 7644 §8.2).
const (
	bulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

const (
	maxBulk           = 8 << 20
	maxBulkOperations = 1000
	maxBulkPath       = 1024
	maxBulkID         = 256
	// operationTime is how long the answer's connection is kept for the next
	// operation: none takes longer.
	operationTime = time.Minute
)

var (
	errBulkSize  = scimerrors.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The request is larger than maxPayloadSize (%d bytes).", maxBulk)}
	errBulkCount = scimerrors.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The request has more operations than maxOperations (%d).", maxBulkOperations)}
	errDataSize  = scimerrors.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: "The data of an operation is larger than 1 MiB."}
)

// whole is a request that may hold several calls (RFC 7644 §3.7).
type whole struct {
	caller *identity.Principal
	event  audit.Event            // describes it
	load   func() ([]byte, error) // reads its body, once
	hold   func()                 // keeps its connection for the answer
	match  func(method, path string) (*endpoint, string, error)
}

// holdOn gives an answer that takes longer than any other the time it needs.
func holdOn(w http.ResponseWriter) {
	// An error means that there is no connection, or none any more.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(operationTime))
}

// bulk answers a request that holds many. Each operation is admitted, recorded and
// done on its own; one that fails says so in its result alone.
func (c *call) bulk(ctx context.Context) (*reply, error) {
	data, err := c.whole.load()
	if err != nil {
		return nil, err
	}
	j, err := c.readBulk(data)
	if err != nil {
		return nil, err
	}
	c.whole.hold()
	if err := c.service.within(ctx, c.whole.caller, c.whole.event, len(j.operations)/bulkPerRequest); err != nil {
		return nil, err
	}
	j.run(ctx, j.operations, 0)
	c.note.operations(j)
	results := make([]*result, 0, len(j.operations))
	for _, o := range j.operations {
		if o.result != nil {
			results = append(results, o.result)
		}
	}
	return &reply{status: http.StatusOK, body: map[string]any{"schemas": []string{bulkResponseURN}, "Operations": results}}, nil
}

// operation is one call inside a Bulk.
type operation struct {
	method, path, bulkID, version string
	data                          json.RawMessage
	content                       *content // of data, while it is worked on

	progress
	result *result // nil: not done
}

// result is what became of an operation (RFC 7644 §3.7).
type result struct {
	Location string `json:"location,omitempty"`
	Method   string `json:"method"`
	BulkID   string `json:"bulkId,omitempty"`
	Version  string `json:"version,omitempty"`
	Status   string `json:"status"`
	Response any    `json:"response,omitempty"`
}

// readBulk reads the message whole before any of it is done.
func (c *call) readBulk(data []byte) (*job, error) {
	message, err := resource.DecodeRaw(data)
	if err != nil {
		return nil, err
	}
	if err := checkBulkSchemas(message); err != nil {
		return nil, err
	}
	j := &job{call: c, named: make(map[string]*operation)}
	if number := message.Value("failOnErrors"); number != nil && (json.Unmarshal(number, &j.failAfter) != nil || j.failAfter < 0) {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "failOnErrors is a whole number.")
	}
	list, ok := message.List("Operations", maxBulkOperations)
	if !ok || len(list) == 0 {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidSyntax, "A bulk request needs a list of Operations.")
	}
	if len(list) > maxBulkOperations {
		return nil, errBulkCount
	}
	seen := make(map[string]bool)
	for i, raw := range list {
		o, err := readBulkOperation(raw, c.base)
		if err == nil && seen[o.bulkID] {
			err = resource.Bad(scimerrors.ScimTypeInvalidValue, "another one has the bulkId %q", o.bulkID)
		}
		if err != nil {
			e := describe(err)
			return nil, resource.Bad(e.ScimType, "Operation %d cannot be used: %s.", i+1, strings.TrimSuffix(e.Detail, "."))
		}
		j.operations = append(j.operations, o)
		if o.bulkID != "" {
			seen[o.bulkID] = true
		}
		if o.method == http.MethodPost {
			j.named[o.bulkID] = o
		}
	}
	return j, nil
}

func checkBulkSchemas(message resource.Raw) error {
	raw, _ := message.List("schemas", 16)
	list := make([]any, 0, len(raw))
	for _, value := range raw {
		var urn string
		if value[0] == '"' && json.Unmarshal(value, &urn) == nil {
			list = append(list, urn)
		}
	}
	return resource.CheckSchemas(map[string]any{"schemas": list}, bulkRequestURN)
}

// readBulkOperation reads what there is of an operation beside its data, which are
// read when it is done.
func readBulkOperation(raw json.RawMessage, base string) (*operation, error) {
	members, err := resource.DecodeRaw(raw)
	if err != nil {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidSyntax, "it is not an object that names each member once")
	}
	o := &operation{data: members.Value("data")}
	for name, field := range map[string]*string{"method": &o.method, "path": &o.path, "bulkId": &o.bulkID, "version": &o.version} {
		var ok bool
		if *field, ok = members.Text(name); !ok {
			return nil, resource.Bad(scimerrors.ScimTypeInvalidSyntax, "its %s is not a string", name)
		}
	}
	o.method = strings.ToUpper(o.method)
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, o.method) {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidSyntax, "its method is not POST, PUT, PATCH or DELETE")
	}
	switch {
	case o.bulkID == "" && o.method == http.MethodPost:
		return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "a POST needs a bulkId")
	case len(o.bulkID) > maxBulkID:
		return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "its bulkId is longer than %d bytes", maxBulkID)
	}
	o.path, err = relative(o.path, base)
	return o, err
}

// relative gives the path below the service's root. The standard has it so; some
// clients send the whole address.
func relative(path, base string) (string, error) {
	if below, ok := strings.CutPrefix(path, base); ok {
		path = below
	} else if below, ok := strings.CutPrefix(path, root); ok {
		path = below
	}
	if len(path) > maxBulkPath || strings.Contains(path, "?") || httpkit.CheckTarget(path) != nil {
		return "", resource.Bad(scimerrors.ScimTypeInvalidPath, "its path is not that of a resource, such as /Users")
	}
	return path, nil
}

// content is what the data of an operation say.
type content struct {
	body map[string]any
	err  error
}

// body reads the operation's data, at most as many as a request of its own could have.
// It keeps them until they are dropped.
func (o *operation) body() (map[string]any, error) {
	if o.content == nil {
		o.content = &content{}
		switch {
		case o.method == http.MethodDelete: // has none
		case o.data == nil:
			o.content.err = resource.Bad(scimerrors.ScimTypeInvalidSyntax, "The operation has no data.")
		case len(o.data) > maxBody:
			o.content.err = errDataSize
		default:
			o.content.body, o.content.err = resource.Decode(o.data)
		}
	}
	return o.content.body, o.content.err
}

func (o *operation) drop() { o.content = nil }

// replace replaces the references in the operation's data.
func (o *operation) replace(body map[string]any, id references) {
	if o.method == http.MethodPatch {
		id.inPatch(body)
	} else {
		id.inObject(body)
	}
}
