package directory

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

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

// fold is the one way that letter case is ignored: it decides uniqueness and
// search alike. It refuses characters outside ASCII that would fold into ASCII
// (the Kelvin sign into "k", the long s into "s"), because two names that differ on
// the wire would become the same person, here or wherever they are told.
func fold(field, s string) (string, error) {
	for _, r := range s {
		if r >= utf8.RuneSelf && (unicode.ToLower(r) < utf8.RuneSelf || orbit(r) < utf8.RuneSelf) {
			return "", passesForASCII(field)
		}
	}
	return strings.ToLower(s), nil
}

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
	case strings.Count(name, "@") > 1:
		return "", "", invalid("invalid-user-name", "The user name has more than one @.")
	case strings.ContainsFunc(name, unicode.IsSpace) && strings.Contains(name, "@"):
		return "", "", invalid("invalid-user-name", "The user name looks like an email address with a space in it.")
	}
	key, err = fold("The user name", name)
	return name, key, err
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
	for _, r := range email {
		if r >= utf8.RuneSelf && (unicode.ToLower(r) < utf8.RuneSelf || unicode.ToUpper(r) < utf8.RuneSelf || orbit(r) < utf8.RuneSelf) {
			return "", passesForASCII("The email address")
		}
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
	if u.Email != "" {
		if u.Email, err = CanonicalEmail(u.Email); err != nil {
			return "", err
		}
	}
	if len(u.OtherEmails) > maxEmails {
		return "", invalid("too-many-emails", "A person can have at most %d email addresses.", maxEmails)
	}
	others := make([]string, 0, len(u.OtherEmails))
	for _, e := range u.OtherEmails {
		if e, err = CanonicalEmail(e); err != nil {
			return "", err
		}
		if e != u.Email && !slices.Contains(others, e) {
			others = append(others, e)
		}
	}
	slices.Sort(others)
	u.OtherEmails = others
	if u.ExternalID, err = cleanKey("The external id", u.ExternalID, maxName); err != nil {
		return "", err
	}
	if u.DisplayName, err = cleanText("The display name", u.DisplayName, maxName); err != nil {
		return "", err
	}
	if len(u.Attributes) > maxAttributes {
		return "", fault.New(fault.TooLarge, "attributes-too-large", "The person's attributes are larger than 64 KiB.")
	}
	if len(u.Attributes) == 0 {
		u.Attributes = []byte("{}")
	}
	return key, u.checkAttributes()
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

var teamName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (t *Team) canonicalise() (err error) {
	if !teamName.MatchString(t.Name) {
		return invalid("invalid-team-name", "A team's name is 1 to 63 of a-z, 0-9 and -, and neither starts nor ends with -.")
	}
	t.DisplayName, err = cleanText("The team's display name", t.DisplayName, maxName)
	return err
}
