package scim

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/scim/recorder"
)

// Replay does a recorded request as if it came now, and tells what would come of it, with
// nothing changed, recorded or told to anybody. What may change something is rehearsed
// ([directory.Service.Rehearse]); what only reads is done, and keeps no writer waiting.
// origin is that of the tenant's host. A request that is not there to its end, or came
// without a good token, cannot be done again: a Conflict fault says why. A tenant has one
// at a time here, with a pause after each: more are refused with TooMany.
func (s *Service) Replay(ctx context.Context, tenant identity.TenantID, origin string, recorded recorder.Request) (again recorder.Request, err error) {
	switch {
	case recorded.Token == "":
		return again, fault.New(fault.Conflict, "request-of-nobody", "This request was refused for its token before it was read: there is nothing to try again.")
	case recorded.Sent.Left > 0 || recorded.Sent.Unread:
		return again, fault.New(fault.Conflict, "request-cut", "The body of this request was not kept to its end, so it cannot be tried again.")
	}
	end, err := s.rehearsals.begin(tenant)
	if err != nil {
		return again, err
	}
	defer end()
	caller := &identity.Principal{Kind: recorded.Caller, Tenant: tenant, ID: recorded.Token, Name: recorded.TokenName}
	on := s.directory.Rehearse
	if action(recorded.Method, recorded.Path) == "read" {
		on = s.asItIs
	}
	err = on(ctx, tenant, func(ctx context.Context, people *directory.Service) error {
		ctx = context.WithValue(ctx, insideKey{}, caller)
		ctx = httpkit.WithRequest(ctx, &httpkit.Request{ID: recorded.ID, Tenant: tenant, Origin: origin})
		address := url.URL{Path: recorded.Path, RawQuery: recorded.Query}
		r, err := http.NewRequestWithContext(ctx, recorded.Method, address.String(), strings.NewReader(recorded.Sent.Text))
		if err != nil {
			return fault.Wrap(err, fault.Conflict, "request-unusable", "This request cannot be tried again: its address was not one.")
		}
		for name, value := range recorded.Header {
			r.Header.Set(name, value)
		}
		var kept once
		rehearsing := &Service{directory: people, keys: s.keys, guard: admitted{}, recorder: &kept, schemas: s.schemas, searchTime: s.searchTime}
		rehearsing.Handler().ServeHTTP(&unsent{header: http.Header{}}, r)
		if err := ctx.Err(); err != nil {
			return err
		}
		again = kept.finish()
		return nil
	})
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = fault.Wrap(err, fault.Unavailable, "rehearsal-too-long", "Trying this again takes longer than other changes may wait for it.")
	}
	return again, err
}

// readTime bounds what only reads.
const readTime = 3 * time.Second

// asItIs is for what changes nothing, in the place of [directory.Service.Rehearse].
func (s *Service) asItIs(ctx context.Context, _ identity.TenantID, do func(context.Context, *directory.Service) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	return do(ctx, s.directory)
}

// once takes the one request of a rehearsal.
type once struct{ finish func() recorder.Request }

func (o *once) Keep(_ identity.TenantID, _ int, _ bool, finish func() recorder.Request) {
	o.finish = finish
}

// admitted lets in what is only tried: who may try it has been decided.
type admitted struct{}

func (admitted) Admit(context.Context, *identity.Principal, authz.Query, *audit.Event) error {
	return nil
}

func (admitted) Refuse(_ context.Context, _ audit.Event, refusal *fault.Fault) error { return refusal }

// unsent is an answer that nobody gets.
type unsent struct {
	header http.Header
	bytes.Buffer
}

func (u *unsent) Header() http.Header { return u.header }
func (*unsent) WriteHeader(int)       {}
