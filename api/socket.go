package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

type operatorKey struct{}

func operatorFrom(ctx context.Context) (*identity.Principal, bool) {
	p, ok := ctx.Value(operatorKey{}).(*identity.Principal)
	return p, ok
}

// SocketHandler serves the same operations for any tenant, at
// /t/{tenant's name or id}/.gatehouse/api/v1/..., to the operator of the
// machine: it must only ever listen on the local admin socket, whose file
// permissions are the authentication.
func (a *API) SocketHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, found := strings.CutPrefix(r.URL.Path, "/t/")
		name, path, cut := strings.Cut(rest, "/")
		// Without a client address: nobody on the socket has one.
		request := &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(), Origin: "unix:"}
		ctx := httpkit.WithRequest(r.Context(), request)
		tenant, known := a.cfg.Tenants.ByName(name)
		if !known {
			tenant, known = a.cfg.Tenants.ByID(identity.TenantID(name))
		}
		if !found || !cut || !known {
			replyProblem(w, problemOf(ctx, errNoSuchTenant))
			return
		}
		request.Tenant, request.TenantName = tenant.ID, tenant.Name
		operator := &identity.Principal{Kind: identity.KindOperator, Tenant: tenant.ID, ID: "local", Name: "local operator"}
		inner := r.Clone(context.WithValue(ctx, operatorKey{}, operator))
		inner.URL.Path, inner.URL.RawPath = "/"+path, ""
		inner.RequestURI = inner.URL.RequestURI()
		w.Header().Set("X-Gatehouse-Request-Id", string(request.ID))
		a.serve(w, inner)
	})
}
