package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// maxBody bounds every request body; the largest honest one is an apply with
// SAML metadata in it.
const maxBody = 1 << 20

// operation declares one call of the API. What it needs stands here and
// nowhere else, so that a reader and a test can check every one of them.
type operation struct {
	id, method, path string // path is relative to /v1
	tag              string
	summary          string
	// needs is the permission that the caller must have.
	needs authz.Permission
	// anybody marks the few operations that every signed-in caller may use,
	// because they concern the caller alone. It replaces needs.
	anybody bool
	// secret marks operations whose answer holds a secret: it is given once.
	secret bool
	// platform marks operations that exist on the operators' own tenant only.
	platform bool
	// status is the answer's status when all is well; 0 means 200, or 204
	// without a body.
	status int
	// responses documents the answers of operations that do not answer with JSON.
	responses map[string]*huma.Response
}

// query is the question that authz is asked before the operation runs.
func (o operation) query(tenant identity.TenantID) authz.Query {
	if o.anybody {
		return authz.Query{Tenant: tenant, Access: authz.NeedSignIn}
	}
	return authz.Query{Tenant: tenant, Access: authz.NeedPermission, Permission: o.needs}
}

// permission is what the document and the console call the operation's need.
func (o operation) permission() string {
	if o.anybody {
		return "signed-in"
	}
	return o.needs.String()
}

// call is one authorised and journalled request; handlers get it beside their
// input. Only [API.admit] makes one.
type call struct {
	request   *httpkit.Request
	principal *identity.Principal
	cause     audit.Cause
	asked     audit.Event // the record of the call, for a refusal within it
	operation operation
	http      *http.Request
}

func (c *call) tenant() identity.TenantID { return c.request.Tenant }

// person is the caller where only a person with a session makes sense.
func (c *call) person() (*identity.Principal, error) {
	if c.principal.Kind != identity.KindUser {
		return nil, fault.New(fault.Denied, "not-a-person", "This concerns a person's own sessions and devices; a token has none.")
	}
	return c.principal, nil
}

// operationOf is the declaration of the operation that a request is for.
func operationOf(hc huma.Context) operation {
	op, ok := hc.Operation().Metadata[operationKey].(operation)
	if !ok {
		panic("api: operation without a declaration: " + hc.Operation().OperationID)
	}
	return op
}

type callKey struct{}

const operationKey = "gatehouse.operation"

// register adds an operation: huma decodes and checks the input against the
// schema made from I, and documents it together with O.
func register[I, O any](a *API, op operation, handle func(context.Context, *call, *I) (*O, error)) {
	huma.Register(a.huma, huma.Operation{
		OperationID: op.id, Method: op.method, Path: "/v1" + op.path,
		Summary: op.summary, Description: "Needs: " + op.permission() + ".", Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: maxBody, Responses: op.responses,
		RejectUnknownQueryParameters: true,
		Metadata:                     map[string]any{operationKey: op},
		Extensions:                   map[string]any{"x-gatehouse-permission": op.permission()},
		Security:                     []map[string][]string{{"session": {}}, {"token": {}}},
	}, func(ctx context.Context, in *I) (*O, error) {
		c, ok := ctx.Value(callKey{}).(*call)
		if !ok {
			panic("api: " + op.id + " reached without authorisation")
		}
		out, err := handle(ctx, c, in)
		if err != nil {
			return nil, problemOf(ctx, a.recordRefusal(ctx, c, err))
		}
		return out, nil
	})
	a.operations = append(a.operations, op)
}
