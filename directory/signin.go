package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// maxSubject bounds an identity provider's name for a person: 255 octets in
// OpenID Connect Core §2, 256 characters in SAML 2.0 Core §8.3.7.
const maxSubject = 1024

// isSubject tells what can be kept as a subject, byte by byte.
func isSubject(s string) bool {
	return s != "" && len(s) <= maxSubject && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// maxSignInGroups bounds the groups that one sign-in can bring.
const maxSignInGroups = 256

// SignIn is what an identity provider has proved of a person, and what the
// connection allows to be made of it.
type SignIn struct {
	Connection identity.ConnectionID
	// Version is that of the connection by which this was verified: if it is another by
	// now, nobody comes into a group ("connection-changed"). 0 does not ask.
	Version uint64
	// Subject is the provider's own, stable name for the person (OIDC sub, SAML
	// NameID). With Connection it is the identity key; the email never is.
	Subject       string
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
		people = []identity.UserID{plan.user.ID}
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
	plan, err = s.planSignIn(ctx, cause, tenant, in)
	if err != nil {
		return nil, false, err
	}
	if len(plan.events) == 0 { // nobody but us needs to know when an identity was last seen
		err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error { return plan.apply(ctx, tx, in) })
		return plan, false, err
	}
	err = s.commit(ctx, tenant, &step{events: plan.events, people: []identity.UserID{plan.user.ID}, write: func(ctx context.Context, tx *store.Tx) error {
		if err := plan.apply(ctx, tx, in); err != nil {
			return err
		}
		plan.user.Groups, err = groupsOf(ctx, tx, plan.user.ID)
		return err
	}})
	return plan, true, err
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
	groups groupPlan
	events []audit.Event
}

func (s *Service) planSignIn(ctx context.Context, cause audit.Cause, tenant identity.TenantID, in *SignIn) (*signInPlan, error) {
	p := new(signInPlan)
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		linked, err := store.One(ctx, tx, store.Scalar[identity.UserID],
			`SELECT user_id FROM identities WHERE connection_id = $1 AND subject = $2`, in.Connection, in.Subject)
		switch {
		case err == nil:
			err = p.known(ctx, tx, cause, tenant, in, linked)
		case errors.Is(err, store.ErrNoRows):
			err = p.first(ctx, tx, cause, tenant, in)
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
	if p.key, err = p.user.canonicalise(); err != nil {
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
	free, err := emailFree(ctx, tx, key, "")
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

// newcomer is the person whom a first sign-in makes, and the key of their user name.
func (in *SignIn) newcomer() (u User, key string, err error) {
	u = User{UserName: cmp.Or(in.Email, in.Subject), Email: in.Email, DisplayName: in.Name, Active: true, Source: SourceSignIn}
	if key, err = u.canonicalise(); err != nil {
		err = fault.Wrap(err, fault.Denied, "identity-invalid", "The identity provider sent neither a usable email address nor a usable name for you.")
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
	p.events = append(p.events, withConnection(identityLinked(cause, tenant, &p.user), in))
	return true, nil
}

// linkable finds whom a first sign-in takes over. An externalId need not be one
// person's alone (RFC 7643 §3.1): where it is not, it names nobody.
func linkable(ctx context.Context, tx *store.Tx, in *SignIn) (identity.UserID, error) {
	const unlinked = ` AND NOT EXISTS (SELECT 1 FROM identities WHERE user_id = users.id AND connection_id = $3)`
	switch {
	case in.LinkByEmail && in.Email != "":
		return store.One(ctx, tx, store.Scalar[identity.UserID],
			`SELECT id FROM users WHERE user_key = $1 AND source <> $2`+unlinked, in.Email, SourceSignIn, in.Connection)
	case in.LinkByExternalID:
		found, err := store.All(ctx, tx, store.Scalar[identity.UserID], `SELECT id FROM users WHERE external_id = $1 AND source = $2 LIMIT 2`, in.Subject, SourceSCIM)
		if err != nil {
			return "", err
		}
		if len(found) != 1 {
			return "", store.ErrNoRows
		}
		return store.One(ctx, tx, store.Scalar[identity.UserID], `SELECT id FROM users WHERE id = $1 AND source = $2`+unlinked, found[0], SourceSCIM, in.Connection)
	}
	return "", store.ErrNoRows
}

func identityLinked(cause audit.Cause, tenant identity.TenantID, u *User) audit.Event {
	e := userEvent(cause, tenant, audit.UserChanged, u)
	e.Details = map[string]string{"changed": "identity"}
	return e
}

func withConnection(e audit.Event, in *SignIn) audit.Event {
	e.Connection = in.Connection
	return e
}

func errUnusable() error {
	return fault.New(fault.Denied, "identity-invalid", "The identity provider did not say who you are in a form that can be used.")
}

func errInactive() error {
	return fault.New(fault.Denied, "person-inactive", "Your account is not active. Ask your admin if you think that it should be.")
}

// apply writes the plan.
func (p *signInPlan) apply(ctx context.Context, tx *store.Tx, in *SignIn) (err error) {
	switch {
	case p.create:
		err = insertUser(ctx, tx, &p.user, p.key)
	case p.update:
		err = replaceUser(ctx, tx, &p.user, p.key, p.was)
	}
	if err != nil {
		return err
	}
	if err := touchIdentity(ctx, tx, in, p.user.ID); err != nil {
		return err
	}
	return p.groups.apply(ctx, tx, in, p.user.ID)
}

// touchIdentity links the identity, or notes that it was seen.
func touchIdentity(ctx context.Context, tx *store.Tx, in *SignIn, user identity.UserID) error {
	n, err := tx.Exec(ctx, `INSERT INTO identities (connection_id, subject, user_id, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (connection_id, subject) DO UPDATE SET seen_at = excluded.seen_at WHERE identities.user_id = excluded.user_id`,
		in.Connection, in.Subject, user, store.Millis(now()))
	if err == nil && n == 0 {
		return errIdentityTaken()
	}
	return err
}

// Link links a person to how a connection calls them, in the transaction of whatever
// has proved it. There the record of it is made as well.
func Link(ctx context.Context, tx *store.Tx, connection identity.ConnectionID, subject string, user identity.UserID) error {
	return touchIdentity(ctx, tx, &SignIn{Connection: connection, Subject: subject}, user)
}

func errIdentityTaken() error {
	return fault.New(fault.Conflict, "uniqueness", "This identity belongs to another person.")
}

// groupPlan is what changes in the groups that one connection's sign-ins bring.
// What another connection, SCIM or an admin made is theirs, whatever its name:
// roles may hang on it.
type groupPlan struct {
	create []placing // made, and joined
	join   []placing
	stay   []placing // by something else than until now: a rule, or the provider itself
	leave  []identity.GroupID
}

func (p *signInPlan) syncGroups(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, in *SignIn) error {
	was, err := store.All(ctx, tx, scanPlacing, `SELECT `+groupColumns+`, ruled FROM groups JOIN group_members ON group_id = id
		WHERE user_id = $3 AND source = $1 AND connection_id = $2 ORDER BY id LIMIT 10000`, SourceSignIn, in.Connection, p.user.ID)
	if err != nil {
		return err
	}
	names, ruled, left := in.groups()
	var joined, taken []string
	is := make(map[identity.GroupID]bool)
	seen := make(map[string]bool)
	for _, name := range names {
		g := Group{DisplayName: name, Source: SourceSignIn, Connection: in.Connection}
		key, err := g.canonicalise()
		if err != nil || seen[key] {
			continue // a name that no group can have is a group that nobody is in
		}
		seen[key] = true
		found, err := store.One(ctx, tx, scanGroup, `SELECT `+groupColumns+` FROM groups WHERE name_key = $1`, key)
		i := slices.IndexFunc(was, func(m placing) bool { return m.group.ID == found.ID })
		switch {
		case errors.Is(err, store.ErrNoRows):
			g.ID, g.Version, g.CreatedAt = identity.NewGroupID(), 1, now()
			p.groups.create = append(p.groups.create, placing{g, ruled(key)})
			p.events = append(p.events, withConnection(groupCreated(cause, tenant, &g, 1), in))
		case err != nil:
			return err
		case found.Source != SourceSignIn || found.Connection != in.Connection:
			taken = append(taken, found.DisplayName) // SCIM, an admin or another connection says who is in it
		case i < 0:
			p.groups.join = append(p.groups.join, placing{found, ruled(key)})
			joined = append(joined, found.DisplayName)
		default:
			is[found.ID] = true
			// A provider that says nothing of groups has not taken back what it said.
			if in.Groups != nil && was[i].ruled != ruled(key) {
				p.groups.stay = append(p.groups.stay, placing{found, ruled(key)})
			}
		}
	}
	var out []string
	for _, m := range was {
		if !is[m.group.ID] && left(&m) {
			p.groups.leave = append(p.groups.leave, m.group.ID)
			out = append(out, m.group.DisplayName)
		}
	}
	if len(joined)+len(out) > 0 || len(taken) > 0 && len(p.events) > 0 {
		e := userEvent(cause, tenant, audit.UserChanged, &p.user)
		e.Details = map[string]string{"changed": "groups"}
		e.Message = fmt.Sprintf("Their groups at the identity provider changed: in %s, out of %s.", listed(joined), listed(out))
		if len(taken) > 0 {
			e.Message += " Left alone, since they come from elsewhere: " + listed(taken) + "."
		}
		p.events = append(p.events, withConnection(e, in))
	}
	return nil
}

// groups are the names of those that the person is in, as far as somebody says so;
// ruled tells whether a rule alone says so of a key, and left whether they leave a
// group that is not among them: where the provider says nothing of groups, only those
// that a rule says of, or has said of before.
func (in *SignIn) groups() (names []string, ruled func(key string) bool, left func(*placing) bool) {
	names = in.Groups[:min(len(in.Groups), maxSignInGroups):min(len(in.Groups), maxSignInGroups)]
	said, unsaid, rules := keysOf(names), keysOf(in.Unsaid), keysOf(slices.Collect(maps.Keys(in.Rules)))
	for _, name := range slices.Sorted(maps.Keys(in.Rules)) {
		if in.Rules[name] {
			names = append(names, name)
		}
	}
	return names, func(key string) bool { return !said[key] }, func(m *placing) bool {
		key := keyOf(m.group.DisplayName)
		return key != "" && !unsaid[key] && (in.Groups != nil || rules[key] || m.ruled)
	}
}

// listed joins names for a record, as many as it should hold.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > 20 {
		names = append(names[:20:20], "...")
	}
	return strings.Join(names, ", ")
}

func (p *groupPlan) apply(ctx context.Context, tx *store.Tx, in *SignIn, user identity.UserID) error {
	if len(p.create)+len(p.join) > 0 {
		if err := in.unchanged(ctx, tx); err != nil {
			return err
		}
	}
	for _, m := range p.create {
		key, err := m.group.canonicalise()
		if err != nil {
			return err
		}
		if err := insertGroup(ctx, tx, &m.group, key); err != nil {
			return err
		}
	}
	for _, m := range slices.Concat(p.create, p.join, p.stay) {
		if err := place(ctx, tx, m.group.ID, user, m.ruled); err != nil {
			return err
		}
	}
	for _, id := range p.leave {
		if err := removeMembers(ctx, tx, id, []identity.UserID{user}); err != nil {
			return err
		}
	}
	return nil
}

// maxSubjects bounds how many identities of a connection one address may have:
// people share none ([emailFree]), so there are as many as one person has.
const maxSubjects = 1000

// SubjectsByEmail gives how a connection's identity provider calls the person
// with an address: every name of theirs there. None if nobody of that
// connection has the address, or if it is none.
func (s *Service) SubjectsByEmail(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, email string) (subjects []string, err error) {
	canonical, err := CanonicalEmail(email)
	if err != nil {
		return nil, nil //nolint:nilerr // what is no address is nobody's
	}
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		subjects, err = store.All(ctx, tx, store.Scalar[string], `SELECT i.subject FROM identities i JOIN user_emails e ON e.user_id = i.user_id
			WHERE i.connection_id = $1 AND e.email = $2 ORDER BY i.subject LIMIT $3`, connection, canonical, maxSubjects)
		return err
	})
	return subjects, err
}

// Link binds an identity of a connection to a person, so that it signs that
// person in. An identity that belongs to another person is a Conflict fault.
func (s *Service) Link(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, connection identity.ConnectionID, subject string) error {
	if connection == "" || !isSubject(subject) {
		return invalid("identity-invalid", "An identity is a connection and the provider's own name for the person.")
	}
	in := &SignIn{Connection: connection, Subject: subject}
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		u, err := loadUser(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		taken, err := store.One(ctx, tx, store.Scalar[int],
			`SELECT count(*) FROM identities WHERE connection_id = $1 AND subject = $2 AND user_id <> $3`, connection, subject, user)
		if err != nil {
			return nil, err
		}
		if taken > 0 {
			return nil, errIdentityTaken()
		}
		return &step{events: []audit.Event{withConnection(identityLinked(cause, tenant, &u), in)}, write: func(ctx context.Context, tx *store.Tx) error {
			return touchIdentity(ctx, tx, in, user)
		}}, nil
	})
}
