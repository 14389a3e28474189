package google

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// user is a person as Google tells of them. What Google calls a value may be anything: one
// that is not understood is skipped, and does not count as gone.
type user struct {
	ID        string `json:"id"`
	Customer  string `json:"customerId"`
	Primary   string `json:"primaryEmail"`
	Suspended bool   `json:"suspended"`
	Archived  bool   `json:"archived"`
	OrgUnit   string `json:"orgUnitPath"`
	Name      struct {
		Given   string `json:"givenName"`
		Family  string `json:"familyName"`
		Full    string `json:"fullName"`
		Display string `json:"displayName"`
	} `json:"name"`
	Emails        []typed `json:"emails"`
	Phones        []typed `json:"phones"`
	Organizations []struct {
		Name       string `json:"name"`
		Title      string `json:"title"`
		Department string `json:"department"`
		CostCenter string `json:"costCenter"`
		Primary    bool   `json:"primary"`
	} `json:"organizations"`
	Relations   []typed `json:"relations"`
	ExternalIDs []typed `json:"externalIds"`

	unread bool // it is not known how they are, but who it is
}

// typed is an entry of one of the lists.
type typed struct {
	Address string `json:"address"`
	Value   string `json:"value"`
	Type    string `json:"type"`
	Primary bool   `json:"primary"`
}

// maxEntries bounds what is taken of a list that a person has.
const maxEntries = 20

func (u *user) read(raw json.RawMessage) error {
	err := json.Unmarshal(raw, u)
	if err != nil { // who it is may still be said
		*u = user{unread: true}
		var who struct {
			ID      string `json:"id"`
			Primary string `json:"primaryEmail"`
		}
		if json.Unmarshal(raw, &who) != nil {
			return errAnswer(err, "a person is not what it should be")
		}
		u.ID, u.Primary = who.ID, who.Primary
	}
	if !isID(u.ID) {
		return errAnswer(nil, "a person has no id")
	}
	// Without these it is not known whether they are to be brought, or active.
	var told struct {
		Suspended *bool   `json:"suspended"`
		OrgUnit   *string `json:"orgUnitPath"`
	}
	if json.Unmarshal(raw, &told) != nil || told.Suspended == nil || told.OrgUnit == nil {
		u.unread = true
	}
	if !isAddress(u.Primary) {
		u.Primary, u.unread = u.ID, true
	}
	return nil
}

func (u *user) active() bool { return !u.Suspended && !u.Archived }

// email is the address by which others name them.
func (u *user) email() string { return strings.ToLower(u.Primary) }

// manager is the address of whom they report to, or empty.
func (u *user) manager() string {
	for _, r := range u.Relations[:min(len(u.Relations), maxEntries)] {
		if r.Type == "manager" && isAddress(r.Value) {
			return strings.ToLower(r.Value)
		}
	}
	return ""
}

const (
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	patchURN      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	bulkURN       = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
)

type object = map[string]any

// set is for texts that may be missing.
func set(in object, name, value string) {
	if value = strings.TrimSpace(value); value != "" {
		in[name] = value
	}
}

// resource is the person as SCIM has them (RFC 7643 §4.1, §4.3), without active and
// manager, which are compared by themselves.
func (u *user) resource() object {
	res := object{"schemas": []string{userURN, enterpriseURN}, "userName": u.Primary, "externalId": u.ID, "emails": u.emails()}
	name := object{}
	set(name, "givenName", u.Name.Given)
	set(name, "familyName", u.Name.Family)
	set(name, "formatted", u.Name.Full)
	if len(name) > 0 {
		res["name"] = name
	}
	set(res, "displayName", first(u.Name.Display, u.Name.Full))
	if phones := u.phones(); len(phones) > 0 {
		res["phoneNumbers"] = phones
	}
	enterprise := object{}
	if len(u.Organizations) > 0 {
		org := u.Organizations[0]
		for _, o := range u.Organizations {
			if o.Primary {
				org = o
				break
			}
		}
		set(res, "title", org.Title)
		set(enterprise, "department", org.Department)
		set(enterprise, "costCenter", org.CostCenter)
		set(enterprise, "organization", org.Name)
	}
	for _, id := range u.ExternalIDs {
		if id.Type == "organization" {
			set(enterprise, "employeeNumber", id.Value)
			break
		}
	}
	if len(enterprise) > 0 {
		res[enterpriseURN] = enterprise
	}
	return res
}

func first(texts ...string) string {
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			return t
		}
	}
	return ""
}

func (u *user) emails() []object {
	all := []object{{"value": u.Primary, "type": "work", "primary": true}}
	for _, e := range u.Emails[:min(len(u.Emails), maxEntries)] {
		// Google has an address of its own for everybody, for tests.
		if !isAddress(e.Address) || strings.EqualFold(e.Address, u.Primary) || strings.HasSuffix(strings.ToLower(e.Address), ".test-google-a.com") {
			continue
		}
		kind := "other"
		if e.Type == "work" || e.Type == "home" {
			kind = e.Type
		}
		all = append(all, object{"value": e.Address, "type": kind})
	}
	return all
}

// phoneTypes are the types of phones that SCIM has as well (RFC 7643 §4.1.2).
var phoneTypes = map[string]string{"work": "work", "home": "home", "mobile": "mobile", "pager": "pager", "work_fax": "fax", "home_fax": "fax", "other_fax": "fax"}

func (u *user) phones() (all []object) {
	primary := false
	for _, p := range u.Phones[:min(len(u.Phones), maxEntries)] {
		phone := object{"type": first(phoneTypes[p.Type], "other")}
		if set(phone, "value", p.Value); phone["value"] == nil {
			continue
		}
		if p.Primary && !primary {
			phone["primary"], primary = true, true
		}
		all = append(all, phone)
	}
	return all
}

// digest is short for what somebody is.
func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is made of texts
	}
	sum := sha256.Sum256(text)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}
