package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// personIdentity is what somebody signs in by at an identity provider.
type personIdentity struct {
	Connection   string                `json:"connection,omitempty" doc:"Name of the connection; absent if it was deleted"`
	ConnectionID identity.ConnectionID `json:"connection_id"`
	Subject      string                `json:"subject" doc:"The provider's own, lasting name for the person (OpenID Connect sub, SAML NameID)"`
	LinkedAt     time.Time             `json:"linked_at"`
	LastSeenAt   *time.Time            `json:"last_seen_at,omitempty" doc:"When they last signed in by it; absent: never"`
}

// identities is all that a person has.
type identities struct {
	Items []personIdentity `json:"items"`
}

func (a *API) registerIdentities() {
	register(a, operation{id: "list-identities", method: http.MethodGet, path: "/users/{id}/identities", tag: "Users", needs: reads("users"),
		summary: "List what a person signs in by at identity providers, the oldest first"}, a.listIdentities)
	register(a, operation{id: "link-identity", method: http.MethodPost, path: "/users/{id}/identities", tag: "Users", needs: writes("users"),
		status: http.StatusCreated, summary: "Link an identity to a person: whoever the connection's provider calls so signs in as them from then on. It may be repeated; one that is another person's is a conflict, and never moved. It takes the right to make owners"}, a.linkIdentity)
	register(a, operation{id: "unlink-identity", method: http.MethodDelete, path: "/users/{id}/identities", tag: "Users", needs: writes("users"),
		status: http.StatusOK, summary: "Unlink an identity from a person, who leaves the groups that they have by it alone; ends the sessions begun by it before the answer. Without the last one the person cannot sign in, unless by a local account. It takes holding all roles that the person has"}, a.unlinkIdentity)
}

func (a *API) listIdentities(ctx context.Context, c *call, in *ByID[identity.UserID]) (*bodyOutput[identities], error) {
	held, err := a.cfg.People.Identities(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	known, err := a.cfg.Connections.Connections(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	out := &bodyOutput[identities]{Body: identities{Items: []personIdentity{}}}
	for _, i := range held {
		name := ""
		for _, k := range known {
			if k.ID == i.Connection {
				name = k.Name
			}
		}
		if name != tenants.LocalName { // which has a list of its own
			out.Body.Items = append(out.Body.Items, identityView(name, i))
		}
	}
	return out, nil
}

func identityView(connection string, i directory.Identity) personIdentity {
	return personIdentity{Connection: connection, ConnectionID: i.Connection, Subject: i.Subject, LinkedAt: i.LinkedAt.UTC(), LastSeenAt: timestamp(i.SeenAt)}
}

type linkIdentityInput struct {
	ByID[identity.UserID]
	Body struct {
		Connection string `json:"connection" minLength:"1" maxLength:"64" doc:"Name or id of the connection; it may be switched off"`
		Subject    string `json:"subject" minLength:"1" maxLength:"1024" doc:"To the letter, as a test of the connection shows it, or the record of a refused sign-in (signin.refused)"`
	}
}

// linkIdentity hands out a way to become somebody, and the app may give them more than
// their roles here say: so it is for who decides whom the tenant believes about people.
func (a *API) linkIdentity(ctx context.Context, c *call, in *linkIdentityInput) (*bodyOutput[personIdentity], error) {
	if _, err := a.cfg.People.Person(ctx, c.tenant(), in.ID); err != nil {
		return nil, err
	}
	if err := a.mayMakeOwners(ctx, c, "Who links a sign-in to a person decides who becomes them."); err != nil {
		return nil, err
	}
	found, err := a.provider(ctx, c.tenant(), in.Body.Connection)
	if err == nil && found.Name == "" {
		err = errNoConnection
	}
	if err != nil {
		return nil, err
	}
	if err := a.cfg.People.Link(ctx, c.cause, c.tenant(), in.ID, namer(found), found.ID, in.Body.Subject); err != nil {
		return nil, err
	}
	held, err := a.cfg.People.Identities(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	for _, i := range held {
		if i.Connection == found.ID && i.Subject == in.Body.Subject {
			return &bodyOutput[personIdentity]{identityView(found.Name, i)}, nil
		}
	}
	return nil, errNoIdentity // somebody was faster to unlink it
}

// namer is who names the people of a connection, as far as it says so itself.
func namer(c tenants.Connection) directory.Namer {
	by := directory.Namer{Naming: c.Naming()}
	if c.OIDC != nil && c.OIDC.IssuerTemplate() == "" {
		by.Issuer = c.Namer(c.OIDC.Issuer)
	}
	return by
}

type unlinkIdentityInput struct {
	ByID[identity.UserID]
	Connection string `query:"connection" required:"true" minLength:"1" maxLength:"64" doc:"Name or id of the connection; the id of one that was deleted"`
	Subject    string `query:"subject" required:"true" minLength:"1" maxLength:"1024"`
}

var errNoConnection = fault.New(fault.NotFound, "no-such-connection", "There is no such connection.")

var errNoIdentity = fault.New(fault.NotFound, "identity-unknown", "This person has no such identity.")

// unlinkIdentity also ends what an identity has begun that was unlinked before, by a
// call that did not come to its end: repeating it completes it.
func (a *API) unlinkIdentity(ctx context.Context, c *call, in *unlinkIdentityInput) (*bodyOutput[revocation], error) {
	person, err := a.cfg.People.Person(ctx, c.tenant(), in.ID)
	if err == nil { // who takes it from them takes with it what they have by it
		err = a.mayMove(ctx, c, heldBy(in.ID, person.Groups))
	}
	if err != nil {
		return nil, err
	}
	found, err := a.provider(ctx, c.tenant(), in.Connection)
	if err != nil {
		return nil, err
	}
	unlinked, err := a.cfg.People.Unlink(ctx, c.cause, c.tenant(), in.ID, found.ID, in.Subject)
	if !unlinked {
		return nil, cmp.Or[error](err, errNoIdentity)
	}
	done, revoked := a.revoke(ctx, c, begunBy(in.ID, found.ID, in.Subject), sessions.ReasonIdentityUnlinked)
	if err := errors.Join(err, revoked); err != nil {
		return nil, err
	}
	return done, nil
}

// maxNamed is the longest subject, in bytes, whose sessions are ended by its name: the
// nodes are told of it in one message, in which any of them may become six.
const maxNamed = 400

// begunBy selects the sessions that an identity has begun, or all of its person's.
func begunBy(user identity.UserID, connection identity.ConnectionID, subject string) sessions.Selector {
	if len(subject) > maxNamed {
		return sessions.Selector{User: user}
	}
	return sessions.Selector{Connection: connection, IDPSubject: subject}
}

var errLocalIdentity = fault.New(fault.Conflict, "local-identity", "By the connection of local accounts people sign in by what they were invited to set up. Use local-accounts.")

// provider finds a connection to an identity provider by name or id. One that was
// deleted is found by its id, and has no name.
func (a *API) provider(ctx context.Context, tenant identity.TenantID, nameOrID string) (tenants.Connection, error) {
	id, err := a.connectionID(ctx, tenant, nameOrID)
	if err != nil {
		return tenants.Connection{}, err
	}
	found, err := a.cfg.Connections.ConnectionByID(ctx, tenant, id)
	if fault.Is(err, fault.NotFound) {
		return tenants.Connection{ID: id}, nil
	}
	if err == nil && found.Type == tenants.Local {
		err = errLocalIdentity
	}
	return found, err
}
