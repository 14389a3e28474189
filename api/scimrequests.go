package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/identity"
)

// SCIMRequests are what provisioning clients have sent of late, as far as it is kept.
type SCIMRequests interface {
	// Search gives those of a filter, newest first, and the cursor of the next page.
	Search(ctx context.Context, tenant identity.TenantID, filter SCIMRequestFilter) ([]SCIMRequest, string, error)
	Get(ctx context.Context, tenant identity.TenantID, id identity.RequestID) (SCIMRequestDetails, error)
	// Replay tells what would come of a request now, and does nothing of it; origin is
	// that of the tenant's host.
	Replay(ctx context.Context, tenant identity.TenantID, origin string, id identity.RequestID) (SCIMRequestDetails, error)
}

// SCIMRequestFilter says which requests are looked for.
type SCIMRequestFilter struct {
	From     time.Time `query:"from" doc:"Not before this time"`
	To       time.Time `query:"to" doc:"Before this time"`
	Token    string    `query:"token" maxLength:"128" doc:"Id or name of a token"`
	About    string    `query:"about" maxLength:"256" doc:"Id of a person or group, or part of what they are called"`
	Method   string    `query:"method" enum:"GET,HEAD,POST,PUT,PATCH,DELETE"`
	Status   int       `query:"status" minimum:"1" maximum:"599" doc:"A status, or its first digit: 4 is any from 400 to 499"`
	ScimType string    `query:"scim_type" maxLength:"64" doc:"Keyword of an error, such as uniqueness"`
	Failed   bool      `query:"failed" doc:"Only what was refused or went wrong, as a whole or in part"`
	Changed  bool      `query:"changed" doc:"Only what has changed something"`
	Paging
}

// SCIMRequest is one request of a provisioning client, as lists have it.
type SCIMRequest struct {
	ID         identity.RequestID `json:"id" doc:"By which its records are found in the log"`
	Time       time.Time          `json:"time"`
	TookMS     float64            `json:"took_ms" doc:"How long it took, in milliseconds"`
	Node       string             `json:"node,omitempty" doc:"The node that answered it"`
	TokenID    identity.TokenID   `json:"token_id,omitempty" doc:"The token by which it came; absent: it came without a good one"`
	Token      string             `json:"token,omitempty" doc:"Its name"`
	Method     string             `json:"method"`
	Path       string             `json:"path"`
	Kind       string             `json:"kind,omitempty" doc:"User or Group; absent: it is about no one kind"`
	ResourceID string             `json:"resource_id,omitempty"`
	Name       string             `json:"name,omitempty" doc:"What whoever it is about is called, or by what filter somebody is looked for"`
	Status     int                `json:"status" doc:"Of the answer; 0 with lost: none of them is known"`
	ScimType   string             `json:"scim_type,omitempty" doc:"Keyword of the error"`
	Failed     bool               `json:"failed" doc:"It, or an operation in it, was refused or went wrong"`
	Changed    bool               `json:"changed"`
	Lost       int                `json:"lost,omitempty" doc:"This is no request, but stands for so many in its place that were not kept: with the status 401 for such as came without a good token, else because there was no room"`
}

// SCIMRequestDetails is one request with all that is kept of it.
type SCIMRequestDetails struct {
	SCIMRequest
	Agent      string            `json:"agent,omitempty" doc:"The client's User-Agent"`
	Query      string            `json:"query,omitempty" doc:"Of the address"`
	Header     map[string]string `json:"header,omitempty" doc:"The few fields of what was sent that count here"`
	Sent       SCIMText          `json:"sent" doc:"The body as it was sent, without secrets"`
	Understood []string          `json:"understood" doc:"What was sent in the terms of this service, line by line"`
	Changes    []SCIMChange      `json:"changes" doc:"What became of whom"`
	Detail     string            `json:"detail,omitempty" doc:"Of the error"`
	Answer     SCIMText          `json:"answer"`
}

// SCIMText is a body, or the beginning of one.
type SCIMText struct {
	Text string `json:"text"`
	Left int64  `json:"left_out,omitempty" doc:"How many bytes behind it are left out, as far as that is known"`
	// Unread says that it was not read to its end.
	Unread bool `json:"unread,omitempty" doc:"It was refused before it was read to its end: there may have been more of it"`
}

// SCIMChange is what became of one person or group.
type SCIMChange struct {
	Kind       string                `json:"kind" enum:"User,Group"`
	ID         string                `json:"id"`
	Name       string                `json:"name"`
	Action     string                `json:"action" enum:"created,changed,deleted"`
	Attributes []SCIMAttributeChange `json:"attributes"`
	Joined     SCIMMembers           `json:"joined,omitzero" doc:"Who has come into a group"`
	Left       SCIMMembers           `json:"left,omitzero" doc:"Who has gone out of a group"`
}

// SCIMAttributeChange is one attribute before and after a change.
type SCIMAttributeChange struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty" doc:"As JSON; absent: it was not there"`
	After  string `json:"after,omitempty" doc:"As JSON; absent: it is not there any more"`
}

// SCIMMembers are some members of a group.
type SCIMMembers struct {
	Count int          `json:"count"`
	First []SCIMMember `json:"first,omitempty" doc:"At most 100 of them"`
}

// SCIMMember is a person or a group in a group.
type SCIMMember struct {
	ID   string `json:"id"`
	Kind string `json:"kind" enum:"User,Group"`
	Name string `json:"name,omitempty"`
}

// What clients send is about people, and about the groups they are in.
func (a *API) registerSCIMRequests() {
	register(a, operation{id: "list-scim-requests", method: http.MethodGet, path: "/scim/requests", tag: "SCIM", needs: reads("users"),
		summary: "Search what provisioning clients have sent in the last 30 days, newest first; takes gatehouse.groups:read as well"}, a.listSCIMRequests)
	register(a, operation{id: "get-scim-request", method: http.MethodGet, path: "/scim/requests/{id}", tag: "SCIM", needs: reads("users"),
		summary: "Show what a provisioning client has sent, what was understood, what has changed and what was answered; takes gatehouse.groups:read as well"}, a.getSCIMRequest)
	register(a, operation{id: "replay-scim-request", method: http.MethodPost, path: "/scim/requests/{id}/replay", tag: "SCIM", needs: writes("users"), status: http.StatusOK,
		summary: "Try a request again as a dry run: what would come of it now, with nothing changed. It takes gatehouse.users:read and gatehouse.groups:read as well"}, a.replaySCIMRequest)
}

func (a *API) listSCIMRequests(ctx context.Context, c *call, in *struct{ SCIMRequestFilter }) (*pageOutput[SCIMRequest], error) {
	if err := a.mayReadDirectory(ctx, c); err != nil {
		return nil, err
	}
	found, next, err := a.cfg.SCIMRequests.Search(ctx, c.tenant(), in.SCIMRequestFilter)
	if err != nil {
		return nil, err
	}
	return pageOf(found, next, func(r SCIMRequest) SCIMRequest { return r }), nil
}

func (a *API) getSCIMRequest(ctx context.Context, c *call, in *ByID[identity.RequestID]) (*bodyOutput[SCIMRequestDetails], error) {
	if err := a.mayReadDirectory(ctx, c); err != nil {
		return nil, err
	}
	found, err := a.cfg.SCIMRequests.Get(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[SCIMRequestDetails]{found}, nil
}

func (a *API) replaySCIMRequest(ctx context.Context, c *call, in *ByID[identity.RequestID]) (*bodyOutput[SCIMRequestDetails], error) {
	// What it answers shows people and groups as they are.
	if err := a.mayReadDirectory(ctx, c); err != nil {
		return nil, err
	}
	foreseen, err := a.cfg.SCIMRequests.Replay(ctx, c.tenant(), c.request.Origin, in.ID)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[SCIMRequestDetails]{foreseen}, nil
}
