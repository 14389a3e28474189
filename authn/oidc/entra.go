package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/tenants"
)

const (
	// entraHost is where the issuers of Entra ID are, outside of national clouds.
	entraHost = "login.microsoftonline.com"
	// googleIssuer is Google's, which gives refresh tokens in a way of its own.
	googleIssuer = "https://accounts.google.com"
	// graphGroups is where Entra ID has the groups that are too many for a token: like
	// those in it, they are by id, and include those that are in by another group.
	graphGroups = "https://graph.microsoft.com/v1.0/me/transitiveMemberOf/microsoft.graph.group?$select=id&$top=999"
	// groupsTime, maxGroupPages and maxGroupPage bound the fetching of them.
	groupsTime    = 15 * time.Second
	maxGroupPages = 10
	// directoryID stands for the directory in the issuer of Entra ID's many.
	directoryID = "{tenantid}"
)

// issuers are whose id tokens are believed: one issuer's, or those of Entra ID's that
// stand for the directories which the connection lists.
//
// A person is known by the connection and the sub alone. That does not mix up people
// of two directories: all of these tokens are signed by Entra ID itself and not by
// whoever administers a directory, and sub is pairwise, made for one application and
// one account of one directory, so that none comes twice.
type issuers struct {
	one      string
	template string // with [directoryID]; "": there is one
	tenants  []string
}

func issuersOf(spec *tenants.OIDCSpec) issuers {
	return issuers{one: spec.Issuer, template: spec.IssuerTemplate(), tenants: spec.EntraTenants}
}

// issued reports whether a token of this issuer and directory is believed.
func (i issuers) issued(issuer, directory string) bool {
	if i.template == "" {
		return issuer == i.one
	}
	return slices.Contains(i.tenants, directory) && issuer == i.of(directory)
}

// any reports whether this is one of them.
func (i issuers) any(issuer string) bool {
	if i.template == "" {
		return issuer == i.one
	}
	return slices.ContainsFunc(i.tenants, func(directory string) bool { return issuer == i.of(directory) })
}

func (i issuers) of(directory string) string {
	return strings.Replace(i.template, directoryID, directory, 1)
}

// overage reports whether the token leaves out groups because they are too many
// (OpenID Connect Core §5.6.2 on _claim_names; hasgroups is Entra ID's own).
func (c claims) overage(name string) bool {
	if c.list(name) != nil {
		return false
	}
	var elsewhere map[string]json.RawMessage
	_ = json.Unmarshal(c["_claim_names"], &elsewhere) // what is none names nothing
	_, named := elsewhere[name]
	return named || c.yes("hasgroups")
}

// fetchGroups gets the groups that were too many for the token. If they cannot be
// had, all of them, nobody knows which they are: they stay unsaid, never "none".
func (p *Protocol) fetchGroups(ctx context.Context, spec *tenants.OIDCSpec, c claims, name, accessToken string) {
	address := spec.GroupsURL
	if u, err := url.Parse(spec.Issuer); address == "" && err == nil && u.Host == entraHost {
		address = graphGroups
	}
	if address == "" {
		return // nobody else's token is for Graph
	}
	ctx, cancel := context.WithTimeout(ctx, groupsTime)
	defer cancel()
	groups, err := p.groupsAt(ctx, address, accessToken)
	if err != nil {
		return
	}
	if raw, err := json.Marshal(groups); err == nil {
		c[name] = raw
	}
}

var errGroups = errors.New("oidc: the groups cannot be read")

// groupPage is a page of a directory's objects (OData JSON §4.5).
type groupPage struct {
	Value []struct {
		Type string `json:"@odata.type"`
		ID   string `json:"id"`
	} `json:"value"`
	Next string `json:"@odata.nextLink"`
}

func (p *Protocol) groupsAt(ctx context.Context, address, accessToken string) ([]string, error) {
	first, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	groups := []string{}
	for range maxGroupPages {
		page, err := p.groupsPage(ctx, address, accessToken)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Value {
			// Others are roles and administrative units.
			if object.ID != "" && (object.Type == "" || object.Type == "#microsoft.graph.group") {
				groups = append(groups, object.ID)
			}
		}
		if len(groups) > maxValues {
			return nil, fmt.Errorf("%w: there are more than %d", errGroups, maxValues)
		}
		if page.Next == "" {
			return groups, nil
		}
		next, err := url.Parse(page.Next)
		if err != nil || next.Scheme != first.Scheme || next.Host != first.Host || next.User != nil {
			return nil, fmt.Errorf("%w: they go on elsewhere", errGroups) // where the token is not for
		}
		address = page.Next
	}
	return nil, fmt.Errorf("%w: they do not end", errGroups)
}

func (p *Protocol) groupsPage(ctx context.Context, address, accessToken string) (page groupPage, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return page, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+accessToken)
	answer, err := p.unredirected().Do(r)
	if err != nil {
		return page, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return page, fmt.Errorf("%w: %s", errGroups, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil { // which is bounded by the client
		return page, err
	}
	if page.Value == nil {
		return page, errGroups
	}
	return page, nil
}

// unredirected is the client for what carries a token, which is for one address.
func (p *Protocol) unredirected() *http.Client {
	client := *p.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}
