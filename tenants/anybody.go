package tenants

import (
	"net/url"
	"slices"
	"strings"
)

// openHosts are where anybody can make an account of their own: what stands behind an
// answer of theirs is somebody, and not one of an organisation's people. They are the
// hosts of issuers, and of the pages and APIs that OAuth 2.0 goes by.
var openHosts = []string{
	"accounts.google.com", "oauth2.googleapis.com", "openidconnect.googleapis.com", "www.googleapis.com",
	"github.com", "api.github.com", "token.actions.githubusercontent.com", "gitlab.com", "bitbucket.org", "api.bitbucket.org", "codeberg.org",
	"appleid.apple.com", "account.apple.com", "login.live.com",
	"facebook.com", "www.facebook.com", "m.facebook.com", "limited.facebook.com", "graph.facebook.com",
	"www.linkedin.com", "linkedin.com", "api.linkedin.com",
	"x.com", "api.x.com", "twitter.com", "api.twitter.com",
	"login.yahoo.com", "api.login.yahoo.com", "www.amazon.com", "api.amazon.com", "www.paypal.com",
	"discord.com", "discordapp.com", "id.twitch.tv", "slack.com", "auth.atlassian.com", "login.salesforce.com",
	"accounts.spotify.com", "www.dropbox.com", "access.line.me", "kauth.kakao.com", "orcid.org", "huggingface.co",
}

// entraHosts are those of Microsoft Entra ID, at which everybody has a directory of
// their own; the first part of the path says which is meant.
var entraHosts = []string{"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"}

// entraConsumers is the directory of personal accounts, which anybody can make.
const entraConsumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// hostOf is the host of an address as far as it tells hosts apart.
func hostOf(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") }

// entraDirectory is the directory that an address of Entra ID is of, in lower case; ""
// for every other address.
func entraDirectory(u *url.URL) string {
	if !slices.Contains(entraHosts, hostOf(u)) {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimLeft(u.Path, "/"), "/")
	return strings.ToLower(first)
}

// open reports whether anybody can have an account at an address. An issuer for many
// directories of Entra ID is bounded by those that are named with it, which are not
// looked at here.
func open(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (slices.Contains(openHosts, hostOf(u)) || entraDirectory(u) == entraConsumers)
}

// open reports whether anybody can have an account at the connection's provider.
func (c *Connection) open() bool {
	switch {
	case c.OIDC != nil:
		return open(c.OIDC.Issuer) || slices.Contains(c.OIDC.EntraTenants, entraConsumers)
	case c.OAuth2 != nil:
		whole := c.OAuth2.Whole()
		// There is no list of directories here, so one for many is open.
		return slices.ContainsFunc([]string{whole.Issuer, whole.AuthorizationURL, whole.TokenURL, whole.UserinfoURL}, func(address string) bool {
			u, err := url.Parse(address)
			return open(address) || err == nil && slices.Contains(append(entraSegments, "consumers"), entraDirectory(u))
		})
	}
	return false
}

// checkOpen refuses to let in whoever has an account where anybody can have one,
// unless somebody says that this is meant. Whoever comes in is bounded by domains or
// groups, or is linked already.
func (c *Connection) checkOpen() error {
	bounded := len(c.Admits.Domains) > 0 || len(c.Admits.Groups) > 0 || c.Unknown == RefuseUnknown && c.Link == LinkNever
	if c.Anybody || bounded || !c.open() {
		return nil
	}
	return badConnection("anybody can have an account at its provider: say in allowed_domains or allowed_groups who may come in, refuse unknown_people without a link, or say anybody: true").At("allowed_domains")
}
