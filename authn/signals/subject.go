package signals

import (
	"reflect"
	"strings"
	"unicode"

	"gatehouse/authn"
	"gatehouse/authn/strict"
)

// maxName bounds how a subject is called: the longest NameID that is accepted at
// sign-in.
const maxName = 1024

// whom reads whom the event is about: the token's sub_id (RFC 9493 §4.1), or the
// event's subject, as it was before that. sessions says that the event is about
// sessions, so that one name alone may be a session's.
func (c *claims) whom(sessions bool) ([]authn.SignalSubject, error) {
	unusable := authn.Refuse(authn.SubjectUnusable, "The token does not say whom its event is about, or not in one way.")
	subject, ok := c.whole["sub_id"].(strict.Object)
	older, before := c.of["subject"].(strict.Object)
	switch {
	case !ok && !before, c.whole.Has("sub_id") && !ok, c.of.Has("subject") && !before, ok && before && !reflect.DeepEqual(subject, older):
		return nil, unusable
	case !ok:
		subject = older
	}
	whom, ok := read(subject, sessions)
	if !ok {
		return nil, unusable
	}
	return whom, nil
}

// format is how a subject is given (RFC 9493 §3), by the names that it had
// before as well.
func format(subject strict.Object) string {
	f := subject.Text("format")
	if f == "" {
		f = subject.Text("subject_type")
	}
	return strings.ReplaceAll(f, "-", "_")
}

// read reads a subject; not ok if what it says is not what its format wants. A
// format that is not understood names nobody.
func read(subject strict.Object, sessions bool) (whom []authn.SignalSubject, ok bool) {
	switch f := format(subject); {
	case f == "complex", f == "" && (subject.Has("user") || subject.Has("session") || subject.Has("device")):
		return several(subject, sessions)
	case f == "opaque" && sessions:
		// It does not say whether this is the name of a session or of a person. Too
		// much is ended rather than too little.
		id, ok := name(subject, "id")
		return []authn.SignalSubject{{Sessions: []string{id}}, {Subject: id}}, ok
	}
	return person(subject)
}

// several reads a complex subject (SSF 1.0), which is all of its members
// at once: a session of a user. What else there may be (a device, a tenant, a
// group, an application) has names of the transmitter's own, which nobody knows
// here: all sessions of the user are taken for it, and without a user none. So are
// they where the event is about the user, and the session only where it was seen.
func several(subject strict.Object, sessions bool) (whom []authn.SignalSubject, ok bool) {
	if subject.Has("user") {
		user, _ := subject["user"].(strict.Object)
		if whom, ok = person(user); !ok {
			return nil, false
		}
	}
	if !subject.Has("session") {
		return whom, true
	}
	session, _ := subject["session"].(strict.Object)
	id, ok := name(session, "id")
	if format(session) != "opaque" || !ok {
		return nil, false
	}
	if whom != nil && !sessions {
		return whom, true
	}
	if whom == nil {
		whom = []authn.SignalSubject{{}}
	}
	whom[0].Sessions = []string{id}
	return whom, true
}

// person reads how one person is called.
func person(subject strict.Object) (whom []authn.SignalSubject, ok bool) {
	var who authn.SignalSubject
	switch format(subject) {
	case "iss_sub": // RFC 9493 §3.2.3
		if who.Issuer, ok = name(subject, "iss"); ok {
			who.Subject, ok = name(subject, "sub")
		}
	case "email": // RFC 9493 §3.2.2
		who.Email, ok = name(subject, "email")
	case "opaque": // RFC 9493 §3.2.4
		who.Subject, ok = name(subject, "id")
	case "":
		return nil, false
	default:
		return nil, true
	}
	return []authn.SignalSubject{who}, ok
}

// name reads what somebody is called by: nothing that could not have been kept of
// a sign-in.
func name(of strict.Object, member string) (string, bool) {
	s := of.Text(member)
	return s, s != "" && len(s) <= maxName && !strings.ContainsFunc(s, unicode.IsControl)
}
