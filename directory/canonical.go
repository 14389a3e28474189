package directory

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// The limits keep one record small enough to load without thinking. The email
// limit is RFC 5321 §4.5.3.1.3 (a path of 256 octets, less its brackets).
const (
	maxName       = 256 // characters
	maxEmail      = 254 // octets
	maxAttributes = 64 << 10
	maxEmails     = 64
	// MaxMembers is how many people and groups a group may hold, unless [Config] says so.
	MaxMembers = 250_000
)

func invalid(code, format string, args ...any) error {
	return fault.New(fault.Invalid, code, format, args...)
}

// cleanText trims a text that people read and refuses what could make it look
// like another: control characters, line ends, and the controls that turn the
// direction of reading.
func cleanText(field, s string, limit int) (string, error) {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) {
		return "", invalid("invalid-text", "%s is not valid UTF-8.", fault.Sentence{Format: field})
	}
	if utf8.RuneCountInString(s) > limit {
		return "", invalid("too-long", "%s is longer than %d characters.", fault.Sentence{Format: field}, limit)
	}
	if strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	}) {
		return "", invalid("invalid-text", "%s contains a control character.", fault.Sentence{Format: field})
	}
	return s, nil
}

// cleanKey is cleanText for what identifies: invisible characters, which some
// scripts need in names (U+200C), are refused as well.
func cleanKey(field, s string, limit int) (string, error) {
	s, err := cleanText(field, s, limit)
	if err == nil && strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Cf, r) }) {
		return "", invalid("invalid-text", "%s contains an invisible character.", fault.Sentence{Format: field})
	}
	return s, err
}

// fold gives the key of a name ([identity.NameKey]): it decides uniqueness and search
// alike. It refuses characters outside ASCII that would fold into ASCII (the Kelvin sign
// into "k", the long s into "s"), however they are composed (the dotted I), because two
// names that differ on the wire would become the same person, here or wherever they are
// told. What the key maps to ASCII (a fullwidth letter) is the same name as that.
func fold(field, s string) (string, error) {
	if strings.ContainsFunc(anyForm(s), func(r rune) bool {
		return r >= utf8.RuneSelf && (unicode.ToLower(r) < utf8.RuneSelf || orbit(r) < utf8.RuneSelf)
	}) {
		return "", passesForASCII(field)
	}
	return identity.NameKey(s), nil
}

// anyForm has the characters of a text as it is and as it is composed: by that the Kelvin
// sign goes, and the dotted I comes.
func anyForm(s string) string { return s + norm.NFC.String(s) }

func passesForASCII(field string) error {
	return invalid("invalid-text", "%s contains a character that passes for an ASCII letter.", fault.Sentence{Format: field})
}

// orbit is the first of the characters that are one where letter case is ignored
// ([strings.EqualFold]).
func orbit(r rune) rune {
	first := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		first = min(first, next)
	}
	return first
}

// foldEmail is [fold] for addresses, of which no two that are kept are the same where
// case is ignored, however that is done: by lower case, by upper case (of which the
// dotless i is an "I"), or by folding (which takes both forms of a sigma for one).
func foldEmail(s string) string {
	return strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(orbit(r))) }, s)
}

// emailForSearch brings what addresses are searched by into the form of theirs; as
// [foldForSearch] does, and without its mapping of widths: of two addresses that differ in
// these, each may be somebody's.
func emailForSearch(s string) string {
	if _, err := fold("", s); err != nil {
		return s
	}
	return norm.NFC.String(foldEmail(norm.NFC.String(s)))
}

// foldForSearch folds what somebody searches for; a text that no record can
// hold stays as it is and finds nothing.
func foldForSearch(s string) string {
	if key, err := fold("", s); err == nil {
		return key
	}
	return s
}

// canonicalUserName gives the name as shown and the key it is unique by.
func canonicalUserName(s string) (name, key string, err error) {
	name, err = cleanKey("The user name", s, maxName)
	switch {
	case err != nil:
		return "", "", err
	case name == "":
		return "", "", invalid("user-name-missing", "A person needs a user name.")
	}
	key, err = fold("The user name", name)
	switch { // of the key: there is an @ of fullwidth as well
	case err != nil:
		return "", "", err
	case strings.Count(key, "@") > 1:
		return "", "", invalid("invalid-user-name", "The user name has more than one @.")
	case strings.ContainsFunc(key, unicode.IsSpace) && strings.Contains(key, "@"):
		return "", "", invalid("invalid-user-name", "The user name looks like an email address with a space in it.")
	}
	return name, key, nil
}

// CanonicalEmail gives the one form in which an address is kept, compared and
// told to the app: trimmed, lower case, in Unicode's form NFC (RFC 6532 §3.1). Quoted
// local parts, comments and a second @ are refused rather than understood: they have
// fooled too many parsers to be worth their rarity. So is a domain that ends with a
// dot, which mail does not know (RFC 5321 §4.1.2).
func CanonicalEmail(s string) (string, error) {
	email, err := cleanKey("The email address", s, maxEmail)
	if err != nil {
		return "", err
	}
	if strings.ContainsFunc(anyForm(email), func(r rune) bool {
		return r >= utf8.RuneSelf && (unicode.ToLower(r) < utf8.RuneSelf || unicode.ToUpper(r) < utf8.RuneSelf || orbit(r) < utf8.RuneSelf)
	}) {
		return "", passesForASCII("The email address")
	}
	email = norm.NFC.String(foldEmail(norm.NFC.String(email)))
	local, domain, found := strings.Cut(email, "@")
	if !found || local == "" || domain == "" || len(email) > maxEmail || foldEmail(email) != email ||
		strings.ContainsAny(domain, "@") || strings.HasSuffix(domain, ".") || strings.ContainsAny(email, `"(),:;<>[\]`) ||
		strings.ContainsFunc(email, unicode.IsSpace) {
		return "", invalid("invalid-email", "That is not an email address of the form name@example.com.")
	}
	return email, nil
}

// canonicalise brings a person into the one form that is stored, and gives the
// key that the user name is unique by.
func (u *User) canonicalise() (key string, err error) {
	if u.UserName, key, err = canonicalUserName(u.UserName); err != nil {
		return "", err
	}
	return key, u.canonicaliseRest()
}

// canonicaliseAfter is [User.canonicalise] for what becomes of somebody. Who keeps their
// user name keeps its key, "" here: the name may be from before it would have been
// refused, or before it was another person's as well.
func (u *User) canonicaliseAfter(before *User) (key string, err error) {
	if u.UserName == before.UserName {
		return "", u.canonicaliseRest()
	}
	return u.canonicalise()
}

func (u *User) canonicaliseRest() (err error) {
	if u.Email != "" {
		if u.Email, err = CanonicalEmail(u.Email); err != nil {
			return err
		}
	}
	if len(u.OtherEmails) > maxEmails {
		return invalid("too-many-emails", "A person can have at most %d email addresses.", maxEmails)
	}
	others := make([]string, 0, len(u.OtherEmails))
	for _, e := range u.OtherEmails {
		if e, err = CanonicalEmail(e); err != nil {
			return err
		}
		if e != u.Email && !slices.Contains(others, e) {
			others = append(others, e)
		}
	}
	slices.Sort(others)
	u.OtherEmails = others
	if u.ExternalID, err = cleanKey("The external id", u.ExternalID, maxName); err != nil {
		return err
	}
	if u.DisplayName, err = cleanText("The display name", u.DisplayName, maxName); err != nil {
		return err
	}
	if len(u.Attributes) > maxAttributes {
		return fault.New(fault.TooLarge, "attributes-too-large", "The person's attributes are larger than 64 KiB.")
	}
	if len(u.Attributes) == 0 {
		u.Attributes = []byte("{}")
	}
	return u.checkAttributes()
}

// canonicalise does for a group what it does for a person.
func (g *Group) canonicalise() (key string, err error) {
	if g.DisplayName, err = cleanKey("The group's name", g.DisplayName, maxName); err != nil {
		return "", err
	}
	if g.DisplayName == "" {
		return "", invalid("group-name-missing", "A group needs a display name.")
	}
	if g.ExternalID, err = cleanKey("The external id", g.ExternalID, maxName); err != nil {
		return "", err
	}
	return fold("The group's name", g.DisplayName)
}

// canonicaliseAfter is [User.canonicaliseAfter] for a group.
func (g *Group) canonicaliseAfter(before *Group) (key string, err error) {
	if g.DisplayName == before.DisplayName {
		g.ExternalID, err = cleanKey("The external id", g.ExternalID, maxName)
		return "", err
	}
	return g.canonicalise()
}

var teamName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (t *Team) canonicalise() (err error) {
	if !teamName.MatchString(t.Name) {
		return invalid("invalid-team-name", "A team's name is 1 to 63 of a-z, 0-9 and -, and neither starts nor ends with -.")
	}
	t.DisplayName, err = cleanText("The team's display name", t.DisplayName, maxName)
	return err
}
