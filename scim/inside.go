package scim

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// Do makes one request from inside the gateway, for what fetches people where others
// push them: it is admitted, recorded, counted by the brake and answered as a request of
// a SCIM client is. path is below the root ("/Users"), with its query; body is JSON or
// empty. The caller must be of a kind that provisions. What is refused is an answer with
// its status (RFC 7644 §3.12); the error is for a request that is none.
func (s *Service) Do(ctx context.Context, caller *identity.Principal, method, path string, body []byte) (status int, answer []byte, err error) {
	ctx = context.WithValue(ctx, insideKey{}, caller)
	ctx = httpkit.WithRequest(ctx, &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(), Tenant: caller.Tenant})
	r, err := http.NewRequestWithContext(ctx, method, root+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", mediaType)
	}
	w := &kept{header: http.Header{}}
	s.Handler().ServeHTTP(w, r)
	return w.status, w.body.Bytes(), nil
}

// insideKey is where the caller of a request from inside stands. Nobody outside of this
// package can put one there.
type insideKey struct{}

// callerInside gives who makes a request from inside; nil if it comes from outside.
func callerInside(ctx context.Context, tenant identity.TenantID) *identity.Principal {
	p, ok := ctx.Value(insideKey{}).(*identity.Principal)
	if !ok || p == nil || p.Tenant != tenant || !p.Kind.Provisions() {
		return nil
	}
	return p
}

// kept is an answer that stays in memory.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header { return k.header }

func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *kept) Write(data []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(data)
}
