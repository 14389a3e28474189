package directory

import (
	"bytes"
	"encoding/json"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Attr is what a list can be filtered and sorted by.
type Attr string

// Of people: all but AttrMember and AttrType. Of groups: AttrID, AttrDisplayName,
// AttrExternalID, AttrSource, AttrMember, AttrVersion and the times. Inside of
// [Some], of a person's groups and a group's members: AttrID, AttrDisplayName and
// AttrType.
const (
	AttrID          Attr = "id"           // string, exact
	AttrUserName    Attr = "user_name"    // string, compared as names are ([identity.NameKey])
	AttrDisplayName Attr = "display_name" // string, compared as names are
	AttrExternalID  Attr = "external_id"  // string, exact
	AttrEmail       Attr = "email"        // string, letter case ignored; any of the person's addresses
	AttrSource      Attr = "source"       // string, exact
	AttrActive      Attr = "active"       // bool
	AttrVersion     Attr = "version"      // string, exact: the number in decimal
	AttrCreated     Attr = "created"      // time.Time
	AttrUpdated     Attr = "updated"      // time.Time
	AttrGroup       Attr = "group"        // string: the id of a group that the person is in, also through others
	AttrMember      Attr = "member"       // string: the id of a person or a group that is in the group itself
	AttrConnection  Attr = "connection"   // string: the id of a connection at which the person signs in
	AttrType        Attr = "type"         // string, letter case ignored: how somebody is in a group; what a member is
)

// column says how an attribute is found in SQL. within, if set, is the condition
// around a comparison with expr, for what a record has several of.
type column struct {
	expr   string
	kind   Kind
	fold   func(string) string // brings a value into the form that expr has; nil: as it is
	always bool                // there is always a value
	within string
}

// relation is a list that a record has in other tables.
type relation struct {
	from  string // the elements of everybody
	its   string // and those of the record t alone
	owner string // whose an element is
	order string // in which order they are answered
	attrs map[Attr]column
}

var userAttrs = map[Attr]column{
	AttrID:          {expr: "t.id", always: true},
	AttrUserName:    {expr: "t.user_key", fold: foldForSearch, always: true},
	AttrDisplayName: {expr: "t.display_key", fold: identity.NameKey},
	AttrExternalID:  {expr: "t.external_id"},
	AttrEmail:       {expr: "e.email", fold: emailForSearch, within: "t.id IN (SELECT e.user_id FROM user_emails e WHERE %s)"},
	AttrSource:      {expr: "t.source"},
	AttrActive:      {expr: "CASE WHEN t.active THEN 'true' ELSE 'false' END", kind: Bool, always: true},
	AttrVersion:     {expr: "CAST(t.version AS TEXT)", always: true},
	AttrCreated:     {expr: "t.created_at", kind: moment, always: true},
	AttrUpdated:     {expr: "t.updated_at", kind: moment, always: true},
	AttrGroup:       {expr: "g.id", within: "t.id IN (" + peopleWithin + ")"},
	AttrConnection:  {expr: "i.connection_id", within: "t.id IN (SELECT i.user_id FROM identities i WHERE %s)"},
}

var groupAttrs = map[Attr]column{
	AttrID:          {expr: "t.id", always: true},
	AttrDisplayName: {expr: "t.name_key", fold: foldForSearch, always: true},
	AttrExternalID:  {expr: "t.external_id"},
	AttrSource:      {expr: "t.source"},
	AttrVersion:     {expr: "CAST(t.version AS TEXT)", always: true},
	AttrCreated:     {expr: "t.created_at", kind: moment, always: true},
	AttrUpdated:     {expr: "t.updated_at", kind: moment, always: true},
	AttrMember:      {expr: "m.id", within: "t.id IN (SELECT m.group_id FROM (" + everyMember + ") m WHERE %s)"},
}

var userLists = map[Attr]relation{
	AttrGroup: {from: groupsAround("TRUE"), its: groupsAround("user_id = t.id"), owner: "m.user_id", order: "g.name_key", attrs: map[Attr]column{
		AttrID:          {expr: "g.id", always: true},
		AttrDisplayName: {expr: "g.name_key", fold: foldForSearch, always: true},
		AttrType:        {expr: "CASE WHEN m.depth > 0 THEN 'indirect' ELSE 'direct' END", fold: strings.ToLower, always: true},
	}},
}

// groupsAround are the groups m that people are in, by themselves and through others, of
// those people for whom a condition holds.
func groupsAround(condition string) string {
	return `(WITH RECURSIVE reached (user_id, group_id, depth) AS (SELECT user_id, group_id, 0 FROM group_members WHERE ` + condition + `
		UNION SELECT r.user_id, n.group_id, r.depth + 1 FROM reached r JOIN group_nestings n ON n.member_id = r.group_id WHERE r.depth < ` + depth + `)
		SELECT user_id, group_id, min(depth) AS depth FROM reached GROUP BY user_id, group_id) m JOIN groups g ON g.id = m.group_id`
}

const membersShown = `(SELECT p.group_id, p.user_id AS id, u.display_key AS display, 'user' AS type FROM group_members p JOIN users u ON u.id = p.user_id
	UNION ALL SELECT n.group_id, n.member_id, g.name_key, 'group' FROM group_nestings n JOIN groups g ON g.id = n.member_id) m`

var groupLists = map[Attr]relation{
	AttrMember: {from: membersShown, its: membersShown, owner: "m.group_id", order: "m.type DESC, m.id", attrs: map[Attr]column{
		AttrID:          {expr: "m.id", always: true},
		AttrDisplayName: {expr: "m.display", fold: identity.NameKey},
		AttrType:        {expr: "m.type", fold: strings.ToLower, always: true},
	}},
}

// ofUsers and ofGroups are what a filter of people and of groups can speak of.
func ofUsers(j store.JSON) scope {
	return scope{attrs: userAttrs, lists: userLists, folded: "t.search", text: "t.search", exact: func() string { return j.Document("t.attributes") }}
}

func ofGroups() scope { return scope{attrs: groupAttrs, lists: groupLists} }

// Document gives the attributes as a person is answered and found with them:
// whoever has an address and none among their attributes has it there, as the
// primary one for work.
func (u *User) Document() (map[string]any, error) {
	document := make(map[string]any)
	d := json.NewDecoder(bytes.NewReader(u.Attributes))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	if _, ok := document["emails"]; !ok && u.Email != "" {
		document["emails"] = []any{map[string]any{"value": u.Email, "type": "work", "primary": true}}
	}
	return document, nil
}

// search is what people are found by where letter case is ignored: their document in
// lower case. JSON stays JSON by that, as no letter becomes a sign of its grammar.
func (u *User) search() (string, error) {
	document, err := u.Document()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(document)
	return strings.ToLower(string(text)), err
}

// checkAttributes refuses what could not be looked into: PostgreSQL finds nothing in
// a document with NUL in a text.
func (u *User) checkAttributes() error {
	if !json.Valid(u.Attributes) || !bytes.HasPrefix(bytes.TrimSpace(u.Attributes), []byte("{")) {
		return invalid("invalid-attributes", "The person's attributes are no JSON object.")
	}
	for rest := u.Attributes; ; {
		at := bytes.IndexByte(rest, '\\')
		if at < 0 {
			return nil
		}
		if bytes.HasPrefix(rest[at:], []byte(`\u0000`)) {
			return invalid("invalid-text", "An attribute has a NUL character in it.")
		}
		rest = rest[at+2:] // a valid text has something behind a backslash
	}
}
