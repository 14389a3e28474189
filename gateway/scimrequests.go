package gateway

import (
	"context"
	"time"

	"gatehouse/api"
	"gatehouse/identity"
	"gatehouse/scim"
	"gatehouse/scim/recorder"
)

// scimRequests speaks the admin API's form of what clients have sent over scim and its
// recorder, which stand on the same floor.
type scimRequests struct {
	scim     *scim.Service
	recorder *recorder.Service
}

func (s scimRequests) Search(ctx context.Context, tenant identity.TenantID, f api.SCIMRequestFilter) ([]api.SCIMRequest, string, error) {
	page, err := s.recorder.Search(ctx, tenant, recorder.Filter{From: f.From, To: f.To, Token: f.Token, About: f.About, Method: f.Method, Status: f.Status,
		ScimType: f.ScimType, Failed: f.Failed, Changed: f.Changed, Limit: f.Limit, Cursor: f.Cursor})
	found := make([]api.SCIMRequest, len(page.Items))
	for i, r := range page.Items {
		found[i] = requestView(&r)
	}
	return found, page.Next, err
}

func (s scimRequests) Get(ctx context.Context, tenant identity.TenantID, id identity.RequestID) (api.SCIMRequestDetails, error) {
	r, err := s.recorder.Get(ctx, tenant, id)
	return detailsView(&r), err
}

func (s scimRequests) Replay(ctx context.Context, tenant identity.TenantID, origin string, id identity.RequestID) (api.SCIMRequestDetails, error) {
	r, err := s.recorder.Get(ctx, tenant, id)
	if err == nil {
		r, err = s.scim.Replay(ctx, tenant, origin, r)
	}
	return detailsView(&r), err
}

func requestView(r *recorder.Request) api.SCIMRequest {
	return api.SCIMRequest{ID: r.ID, Time: r.Time.UTC(), TookMS: float64(r.Took.Round(time.Microsecond)) / float64(time.Millisecond), Node: r.Node, TokenID: identity.TokenID(r.Token), Token: r.TokenName,
		Method: r.Method, Path: r.Path, Kind: r.Kind, ResourceID: r.Resource, Name: r.Name, Status: r.Status, ScimType: r.ScimType, Failed: r.Failed, Changed: r.Changed, Lost: r.Lost}
}

func detailsView(r *recorder.Request) api.SCIMRequestDetails {
	d := api.SCIMRequestDetails{SCIMRequest: requestView(r), Agent: r.Agent, Query: r.Query, Header: r.Header, Sent: api.SCIMText(r.Sent), Detail: r.Detail,
		Answer: api.SCIMText(r.Answer), Understood: append([]string{}, r.Understood...), Changes: []api.SCIMChange{}}
	for _, c := range r.Changes {
		view := api.SCIMChange{Kind: c.Kind, ID: c.ID, Name: c.Name, Action: string(c.Action), Attributes: []api.SCIMAttributeChange{}, Joined: membersView(c.Joined), Left: membersView(c.Left)}
		for _, a := range c.Attributes {
			view.Attributes = append(view.Attributes, api.SCIMAttributeChange(a))
		}
		d.Changes = append(d.Changes, view)
	}
	return d
}

func membersView(m recorder.Members) api.SCIMMembers {
	view := api.SCIMMembers{Count: m.Count}
	for _, one := range m.First {
		view.First = append(view.First, api.SCIMMember(one))
	}
	return view
}
