package directory

import (
	"cmp"
	"context"
	"errors"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// SignIn is what an identity provider has proved of a person, and what the
// connection allows to be made of it.
type SignIn struct {
	Connection identity.ConnectionID
	// Version is that of the connection by which this was verified: if it is another by
	// now, nobody comes into a group ("connection-changed"). 0 does not ask.
	Version uint64
	// Subject is the provider's own, stable name for the person (OIDC sub, SAML
	// NameID). With Connection it is the identity key; the email never is.
	Subject string
	// By is who says so.
	By            Namer
	Email         string
	EmailVerified bool
	Name          string
	// Groups are the names that the provider says the person is in: nil if it
	// says nothing of groups, empty if it says "none".
	Groups []string
	// Rules are groups that the connection's rules say of, by name: whether the
	// person is in them. They add to Groups. A group that a rule alone has put the
	// person into, and that neither Rules nor Unsaid names any more, is left.
	Rules map[string]bool
	// Unsaid are groups of rules about which nothing was said: they are left as they
	// are, also where Groups says which there are.
	Unsaid []string
	// LinkByEmail lets a first sign-in take over the person who was provisioned
	// under the verified email, LinkByExternalID the one whose SCIM externalId is the
	// subject; CreateMissing lets it make a new one.
	LinkByEmail, LinkByExternalID bool
	CreateMissing                 bool
}

// SignIn finds the person who signs in, links or makes one where the
// connection allows it, and brings email, name and groups up to date. created
// tells of a new person. A person who may not come in is a Denied fault with
// the code "person-inactive", "person-unknown", "account-exists" or
// "identity-invalid"; the caller journals the refusal.
//
// An address counts only if it is verified and nobody else's: it names people
// to admins and to the app.
//
// What SCIM provisioned is SCIM's to say: a sign-in changes neither the email
// and name of such a person nor the members of such a group.
func (s *Service) SignIn(ctx context.Context, cause audit.Cause, tenant identity.TenantID, in SignIn) (u User, created bool, err error) {
	if in.Connection == "" || !isSubject(in.Subject) {
		return User{}, false, errUnusable()
	}
	in.normalise()
	plan, changed, err := s.signIn(ctx, cause, tenant, &in)
	var people []identity.UserID
	if changed {
		people = plan.people()
	}
	if err = s.tell(ctx, tenant, changed, people, err); err != nil {
		return User{}, false, err
	}
	return plan.user, plan.create, nil
}

// Usable tells what a sign-in comes to whoever is known here: whether it names
// somebody in a form that can be used at all. [Service.SignIn] says so with the same
// fault.
func (in SignIn) Usable() error {
	if in.Connection == "" || !isSubject(in.Subject) {
		return errUnusable()
	}
	if !in.CreateMissing {
		return nil
	}
	in.normalise()
	_, _, err := in.newcomer()
	return err
}

// Foresee tells what [Service.SignIn] would come to at this moment: whom it would
// sign in, and whether it would make that person. It changes nothing.
func (s *Service) Foresee(ctx context.Context, tenant identity.TenantID, in SignIn) (u User, created bool, err error) {
	if in.Connection == "" || !isSubject(in.Subject) {
		return User{}, false, errUnusable()
	}
	in.normalise()
	plan, err := s.planSignIn(ctx, audit.SystemCause(), tenant, &in)
	if err != nil {
		return User{}, false, err
	}
	return plan.user, plan.create, nil
}

// signIn does what a sign-in changes; it may have been done if changed, whatever
// the error.
func (s *Service) signIn(ctx context.Context, cause audit.Cause, tenant identity.TenantID, in *SignIn) (plan *signInPlan, changed bool, err error) {
	done, err := s.changes.Take(ctx, tenant)
	if err != nil {
		return nil, false, err
	}
	defer done()
	if err := s.agree(ctx, tenant); err != nil {
		return nil, false, err
	}
	plan, err = s.planSignIn(ctx, cause, tenant, in)
	if err != nil {
		return nil, false, err
	}
	do := &step{events: plan.events, people: plan.people()}
	do.news.takes(&plan.groups, plan.user.ID)
	if len(plan.events) == 0 { // nobody but us needs to know when an identity was last seen
		err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			if err := plan.apply(ctx, tx, in, &do.news); err != nil {
				return err
			}
			return s.note(ctx, tx, tenant, do)
		})
		return plan, false, err
	}
	do.write = func(ctx context.Context, tx *store.Tx) error {
		if err := plan.apply(ctx, tx, in, &do.news); err != nil {
			return err
		}
		plan.user.Groups, err = groupsOf(ctx, tx, plan.user.ID)
		return err
	}
	return plan, true, s.commit(ctx, tenant, do)
}

// normalise keeps what is usable of the optional parts: an odd email or name
// from the provider must not keep anybody out.
func (in *SignIn) normalise() {
	email, err := CanonicalEmail(in.Email)
	if err != nil || !in.EmailVerified {
		// Whoever may edit their own profile at the provider could name somebody
		// else's address.
		email = ""
	}
	in.Email = email
	if in.Name, err = cleanText("The name", in.Name, maxName); err != nil {
		in.Name = ""
	}
}

// signInPlan is what a sign-in will change, made before anything is.
type signInPlan struct {
	user   User
	key    string // of the user name
	was    uint64 // version of the stored person
	create bool
	update bool
	linked bool            // the identity is theirs already
	loser  identity.UserID // who has lost it to them, if anybody
	groups groupPlan
	events []audit.Event
}

func (s *Service) planSignIn(ctx context.Context, cause audit.Cause, tenant identity.TenantID, in *SignIn) (*signInPlan, error) {
	p := new(signInPlan)
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		of, theirs, err := identityOf(ctx, tx, in.By, in.Connection, in.Subject)
		switch {
		case err != nil:
		case of != "" && theirs:
			err = p.known(ctx, tx, cause, tenant, in, of)
		default:
			err = p.first(ctx, tx, cause, tenant, in)
			if err == nil && of != "" {
				err = p.renamed(ctx, tx, cause, tenant, in, of)
			}
		}
		if err != nil {
			return err
		}
		return p.syncGroups(ctx, tx, cause, tenant, in)
	})
	return p, err
}

// known plans the sign-in of an identity that is linked already.
func (p *signInPlan) known(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, in *SignIn, id identity.UserID) (err error) {
	if p.user, err = loadUser(ctx, tx, id); err != nil {
		return err
	}
	if !p.user.Active {
		return errInactive()
	}
	p.linked = true
	before := p.user
	if p.user.Source == SourceSCIM {
		return nil
	}
	if in.Name != "" {
		p.user.DisplayName = in.Name
	}
	if in.Email != "" && in.Email != before.Email {
		free, err := emailFree(ctx, tx, in.Email, id)
		if err != nil {
			return err
		}
		if free { // else the old one stays, and stays good for signing in
			p.user.Email = in.Email
			if before.UserName == before.Email {
				p.user.UserName = in.Email
			}
		}
	}
	if p.key, err = p.user.canonicaliseAfter(&before); err != nil {
		return err
	}
	changed := changedFields(&before, &p.user)
	if len(changed) == 0 {
		return nil
	}
	p.update, p.was = true, before.Version
	p.user.Version, p.user.UpdatedAt = before.Version+1, now()
	p.events = append(p.events, withConnection(userChanged(cause, tenant, &before, &p.user, changed), in))
	return nil
}

// first plans the first sign-in of an identity.
func (p *signInPlan) first(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, in *SignIn) error {
	if linked, err := p.link(ctx, tx, cause, tenant, in); linked || err != nil {
		return err
	}
	if !in.CreateMissing {
		return fault.New(fault.Denied, "person-unknown", "You are not known here yet. Ask your admin to add you.")
	}
	u, key, err := in.newcomer()
	if err != nil {
		return err
	}
	p.user = u
	free, err := emailFree(ctx, tx, cmp.Or(u.Email, key), "")
	if err != nil {
		return err
	}
	if !free {
		return fault.New(fault.Denied, "account-exists",
			"There is a person with your email address already, who signs in differently. Ask your admin to link this sign-in to that person, or to let this connection link people by their verified email.")
	}
	p.user.ID, p.user.Version, p.user.CreatedAt = identity.NewUserID(), 1, now()
	p.user.UpdatedAt = p.user.CreatedAt
	p.create, p.key = true, key
	p.events = append(p.events, withConnection(userCreated(cause, tenant, &p.user), in))
	return nil
}

// renamed records that somebody loses what another provider called them, before this
// one called somebody so.
func (p *signInPlan) renamed(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, in *SignIn, was identity.UserID) error {
	if was == p.user.ID {
		return nil
	}
	u, err := loadUser(ctx, tx, was)
	if err != nil {
		return err
	}
	e := identityEvent(cause, tenant, audit.IdentityUnlinked, &u, in.Connection, in.Subject)
	e.Reason, p.loser = "another-provider", was
	p.events = append(p.events, e)
	return nil
}

// newcomer is the person whom a first sign-in makes, and the key of their user name.
func (in *SignIn) newcomer() (u User, key string, err error) {
	u = User{UserName: cmp.Or(in.Email, in.Subject), Email: in.Email, DisplayName: in.Name, Active: true, Source: SourceSignIn}
	if key, err = u.canonicalise(); err != nil {
		err = fault.Wrap(err, fault.Denied, "identity-invalid", "Your organisation's sign-in service sent neither a usable email address nor a usable name for you. Ask your administrator to look at what it sends.")
	}
	return u, key, err
}

// link takes over the person whom the connection's rule names and who has no
// identity of this connection yet; linked is false if there is none.
func (p *signInPlan) link(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, in *SignIn) (linked bool, err error) {
	id, err := linkable(ctx, tx, in)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if p.user, err = loadUser(ctx, tx, id); err != nil {
		return false, err
	}
	if !p.user.Active {
		return false, errInactive()
	}
	e := identityEvent(cause, tenant, audit.IdentityLinked, &p.user, in.Connection, in.Subject)
	e.Details["rule"] = "external_id"
	if in.LinkByEmail {
		e.Details["rule"] = "email"
	}
	p.events = append(p.events, e)
	return true, nil
}

func withConnection(e audit.Event, in *SignIn) audit.Event {
	e.Connection = in.Connection
	return e
}

func errUnusable() error {
	return fault.New(fault.Denied, "identity-invalid", "Your organisation's sign-in service did not say who you are in a form that can be used. Ask your administrator to look at what it sends.")
}

func errInactive() error {
	return fault.New(fault.Denied, "person-inactive", "Your account is not active. Ask your admin if you think that it should be.")
}

// apply writes the plan, and adds to the news who has left groups by it.
func (p *signInPlan) apply(ctx context.Context, tx *store.Tx, in *SignIn, n *news) (err error) {
	switch {
	case p.create:
		err = insertUser(ctx, tx, &p.user, p.key)
	case p.update:
		err = replaceUser(ctx, tx, &p.user, p.key, p.was)
	}
	if err != nil {
		return err
	}
	if p.linked {
		err = seeIdentity(ctx, tx, in, p.user.ID)
	} else {
		err = linkIdentity(ctx, tx, in.By, in.Connection, in.Subject, p.user.ID, now())
	}
	if err == nil && p.loser != "" {
		var left []identity.GroupID
		left, err = lose(ctx, tx, in.Connection, in.Subject, p.loser)
		n.leaves(p.loser, left...)
	}
	if err != nil {
		return err
	}
	return p.groups.apply(ctx, tx, in, p.user.ID)
}

// people are those whose record, or whose groups, the plan changes.
func (p *signInPlan) people() []identity.UserID {
	if p.loser != "" {
		return []identity.UserID{p.user.ID, p.loser}
	}
	return []identity.UserID{p.user.ID}
}
