package authn_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/authn/setup"
	"gatehouse/authn/signals/transmittertest"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// takesNothing are the addresses that take nothing which is of one tenant or browser.
var takesNothing = map[string]string{
	"GET " + tenants.LogoPath:                     "public",
	"POST /.gatehouse/login":                      "an address of somebody who begins a sign-in",
	"GET /.gatehouse/oidc/{connection}/jwks.json": "public",
	"GET /.gatehouse/saml/{connection}/metadata":  "public",
	"GET /.gatehouse/oauth/metadata":              "public",
	"POST /.gatehouse/oauth/device_authorization": "a program that begins a sign-in",
}

const (
	aSession  = "the session's cookie"
	holder    = "whoever has the cookie is that browser"
	byServers = "it comes from a server, and without cookies"
)

// crossings are what every address takes.
var crossings = map[string][]crossing{
	"GET /.gatehouse/login": {{"a test of a connection", "it is begun by whoever was sent there", func(x *crossed, _ *browser) carried {
		return carried{method: http.MethodGet, path: x.trial(x.t, "idp"), worked: func(answer *httptest.ResponseRecorder) bool {
			return strings.HasPrefix(answer.Header().Get("Location"), x.idp.URL)
		}}
	}}},
	"GET /.gatehouse/logout": {{aSession, holder, func(x *crossed, b *browser) carried {
		x.someone(b)
		return carried{method: http.MethodGet, path: "/.gatehouse/logout", worked: showing("This ends your session")}
	}}},
	"POST /.gatehouse/logout": {{aSession, holder, func(x *crossed, b *browser) carried {
		x.someone(b)
		return carried{method: http.MethodPost, path: "/.gatehouse/logout", worked: x.over(b)}
	}}},
	"GET /.gatehouse/devices": {{aSession, holder, func(x *crossed, b *browser) carried {
		x.someone(b)
		return carried{method: http.MethodGet, path: "/.gatehouse/devices", worked: showing("You are signed in on these devices")}
	}}},
	"POST /.gatehouse/devices": {{"a device", "", func(x *crossed, b *browser) carried {
		name, phone := x.someone(b), x.browser()
		x.come(name, phone).has(x.t, http.StatusOK)
		return carried{method: http.MethodPost, path: "/.gatehouse/devices", form: url.Values{"device": {string(phone.live().Principal().Device)}}, worked: x.over(phone)}
	}}},
	"GET /.gatehouse/mfa": {{"a step", "", func(x *crossed, b *browser) carried {
		return carried{method: http.MethodGet, path: x.atFactor(b).url.RequestURI(), worked: showing("Show your second factor")}
	}}, {aSession, holder, func(x *crossed, b *browser) carried {
		x.someone(b)
		return carried{method: http.MethodGet, path: factors, worked: showing("second factor")}
	}}},
	"POST /.gatehouse/mfa": {{"a step and a code", "", func(x *crossed, b *browser) carried {
		asked := x.atFactor(b)
		code := x.codes[0]
		x.codes = x.codes[1:]
		return carried{method: http.MethodPost, path: factors, form: form(asked, "kind", "recovery-code", "code", code), worked: signsIn}
	}}, {"a factor that is being added", "", func(x *crossed, b *browser) carried {
		x.someone(b)
		offered := b.open(factors + "?add=totp")
		return carried{method: http.MethodPost, path: factors, form: form(offered, "code", x.digits(offered.find(x.t, keyOnPage)), "name", "App"),
			worked: x.recorded(audit.FactorAdded)}
	}}, {"a step and a passkey's answer", "", func(x *crossed, b *browser) carried {
		first := x.browser()
		name := x.someone(first)
		passkey, _ := first.passkey(first.open(factors+"?add=passkey"), "laptop")
		x.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
		defer x.connections.setFactor(tenants.SecondFactor{})
		asked := x.come(name, b)
		asked.has(x.t, http.StatusOK, "Use your passkey")
		return carried{method: http.MethodPost, path: factors, worked: signsIn,
			form: form(asked, "kind", "passkey", "credential", passkey.Get([]byte(asked.find(x.t, optionsOnPage))))}
	}}, {"a passkey that is being added", "", func(x *crossed, b *browser) carried {
		x.someone(b)
		offered := b.open(factors + "?add=passkey")
		passkey := mfatest.New(x.t, "https://"+factorHost, factorHost)
		return carried{method: http.MethodPost, path: factors, worked: x.recorded(audit.FactorAdded),
			form: form(offered, "credential", passkey.Create([]byte(offered.find(x.t, optionsOnPage))), "name", "laptop")}
	}}, {"a factor's id", "", func(x *crossed, b *browser) carried {
		x.someone(b)
		b.passkey(b.open(factors+"?add=passkey"), "laptop")
		id := b.open(factors).find(x.t, idsOnPage)
		return carried{method: http.MethodPost, path: factors, worked: x.recorded(audit.FactorRenamed),
			form: url.Values{"do": {"rename"}, "factor": {id}, "name": {"mine now"}}}
	}}},
	"GET /.gatehouse/oidc/{connection}/callback": {{"state and code", "", func(x *crossed, b *browser) carried {
		return carried{method: http.MethodGet, path: "/.gatehouse/oidc/idp/callback?" + x.begun(b, "/.gatehouse/login?connection=idp").Encode(), worked: signsIn}
	}}, {"state and code of a test", "", func(x *crossed, b *browser) carried {
		return carried{method: http.MethodGet, path: "/.gatehouse/oidc/idp/callback?" + x.begun(b, x.trial(x.t, "idp")).Encode(), worked: showing("The connection idp works")}
	}}},
	"GET /.gatehouse/oidc/{connection}/frontchannel-logout": {{"the session's cookie and its name at the provider", "", func(x *crossed, b *browser) carried {
		x.someone(b)
		named := url.Values{"iss": {x.idp.URL}, "sid": {b.live().Session().IDPSession}}
		return carried{method: http.MethodGet, path: "/.gatehouse/oidc/idp/frontchannel-logout?" + named.Encode(), worked: x.over(b)}
	}}},
	"POST /.gatehouse/oidc/{connection}/backchannel-logout": {{"a logout token", byServers, func(x *crossed, b *browser) carried {
		name := x.someone(b)
		return carried{method: http.MethodPost, path: backChannel, worked: x.over(b), form: url.Values{"logout_token": {x.idp.logoutToken(x.t, func(h map[string]any, c jwt.MapClaims) {
			claim("sub", name)(h, c)
			claim("sid", nil)(h, c)
		})}}}
	}}},
	"GET /.gatehouse/oauth2/{connection}/callback": {{"state and code", "", func(x *crossed, b *browser) carried {
		return carried{method: http.MethodGet, path: "/.gatehouse/oauth2/hub/callback?" + x.begun(b, "/.gatehouse/login?connection=hub").Encode(), worked: signsIn}
	}}, {"state and code of a test", "", func(x *crossed, b *browser) carried {
		return carried{method: http.MethodGet, path: "/.gatehouse/oauth2/hub/callback?" + x.begun(b, x.trial(x.t, "hub")).Encode(), worked: showing("The connection hub works")}
	}}},
	"POST /.gatehouse/saml/{connection}/acs": {{"RelayState and response", "", func(x *crossed, b *browser) carried {
		f := b.samlFlight()
		return carried{method: http.MethodPost, path: "/.gatehouse/saml/adfs/acs", form: f.form(honest(x.t, f)), worked: func(answer *httptest.ResponseRecorder) bool {
			return strings.Contains(answer.Header().Get("Location"), "/acs?step=")
		}}
	}}, {"RelayState and response, asked for in a form", "", func(x *crossed, b *browser) carried {
		f := b.samlFlightBy(loginByForm)
		return carried{method: http.MethodPost, path: "/.gatehouse/saml/forms/acs", form: f.form(honest(x.t, f)), worked: func(answer *httptest.ResponseRecorder) bool {
			return strings.Contains(answer.Header().Get("Location"), "/acs?step=")
		}}
	}}, {"RelayState and response of a test", "", func(x *crossed, b *browser) carried {
		f := b.samlFlightBy(x.trial(x.t, "adfs"))
		return carried{method: http.MethodPost, path: "/.gatehouse/saml/adfs/acs", form: f.form(honest(x.t, f)), worked: showing("The connection adfs works")}
	}}},
	"GET /.gatehouse/saml/{connection}/acs": {{"a step", "", func(x *crossed, b *browser) carried {
		at, err := url.Parse(b.samlVerified("adfs", "gil", "s1"))
		check(x.t, err)
		return carried{method: http.MethodGet, path: at.RequestURI(), worked: signsIn}
	}}},
	"GET /.gatehouse/saml/{connection}/slo": {{"a request", byServers, func(x *crossed, b *browser) carried {
		b.samlSignIn("adfs", "gil", "s2")
		return carried{method: http.MethodGet, path: slo + "?" + x.logoutRequest("gil", "s2").redirected(x.t, ""), worked: x.over(b)}
	}}, {"RelayState and response", "", func(x *crossed, b *browser) carried {
		n, relay := x.leaving(b)
		return carried{method: http.MethodGet, path: slo + "?" + n.redirected(x.t, relay), worked: x.recorded(audit.SignOutAtProvider)}
	}}},
	"POST /.gatehouse/saml/{connection}/slo": {{"a request", byServers, func(x *crossed, b *browser) carried {
		b.samlSignIn("adfs", "gil", "s3")
		return carried{method: http.MethodPost, path: slo, form: x.logoutRequest("gil", "s3").posted(x.t, ""), worked: x.over(b)}
	}}, {"RelayState and response", "", func(x *crossed, b *browser) carried {
		n, relay := x.leaving(b)
		return carried{method: http.MethodPost, path: slo, form: n.posted(x.t, relay), worked: x.recorded(audit.SignOutAtProvider)}
	}}},
	"POST /.gatehouse/signals/{connection}": {{"a security event", byServers, func(x *crossed, b *browser) carried {
		name := x.someone(b)
		return carried{method: http.MethodPost, path: signalsOfIDP, header: http.Header{"Content-Type": {"application/secevent+jwt"}},
			body: x.event(x.sends, transmittertest.CAEP+"session-revoked", nil, issSub(x.idp.URL, name)), worked: x.over(b)}
	}}},
	"GET /.gatehouse/device": {{aSession, holder, func(x *crossed, b *browser) carried {
		x.someone(b)
		return carried{method: http.MethodGet, path: "/.gatehouse/device", worked: showing("Enter the code that your program shows")}
	}}},
	"POST /.gatehouse/device": {{"a code", "whoever has read it on the program's screen enters it", func(x *crossed, b *browser) carried {
		x.someone(b)
		return carried{method: http.MethodPost, path: "/.gatehouse/device", form: url.Values{"user_code": {x.asks().User}}, worked: showing("Allow this program?")}
	}}, {"a step", "", func(x *crossed, b *browser) carried {
		x.someone(b)
		decision := b.enters(x.asks().User)
		decision.Set("decision", "allow")
		return carried{method: http.MethodPost, path: "/.gatehouse/device", form: decision, worked: x.recorded(audit.DeviceLoginAllowed)}
	}}},
	"POST /.gatehouse/oauth/token": {{"a device code", "it is a program's, which has no cookies", func(x *crossed, b *browser) carried {
		x.someone(b)
		p := x.asks()
		b.allows(p.User)
		return carried{method: http.MethodPost, path: atToken, form: tokenForm(p.Device), worked: showing(`"access_token"`)}
	}}},
	"POST /.gatehouse/oauth/revoke": {{"a token", "it is a program's, which has no cookies", func(x *crossed, b *browser) carried {
		x.someone(b)
		p := x.asks()
		b.allows(p.User)
		token := p.wants("").Token
		return carried{method: http.MethodPost, path: atRevoke, form: url.Values{"client_id": {"gatehouse-cli"}, "token": {token}}, worked: func(*httptest.ResponseRecorder) bool {
			_, err := x.sessions.FindProgram(x.t.Context(), acme, token)
			return err != nil
		}}
	}}},
	"GET /.gatehouse/setup": {{"a set-up's cookie", "", func(x *crossed, b *browser) carried {
		x.settingUp(b)
		return carried{method: http.MethodGet, path: setup.Path, worked: showing("Which identity provider do you have?")}
	}}},
	"POST /.gatehouse/setup/begin": {{"a link", "it is of nobody until it is begun with", func(x *crossed, _ *browser) carried {
		x.connections.remove("corp")
		_, path := x.link(x.t, setup.Terms{})
		_, token, _ := strings.Cut(path, "token=")
		return carried{method: http.MethodPost, path: setup.Path + "/begin", form: url.Values{"token": {token}}, worked: func(answer *httptest.ResponseRecorder) bool {
			return setsCookie(answer, httpkit.SetupCookie)
		}}
	}}},
	"POST /.gatehouse/setup/save": {{"a set-up's cookie", "", func(x *crossed, b *browser) carried {
		x.settingUp(b)
		return carried{method: http.MethodPost, path: setup.Path + "/save", worked: x.connected(false),
			form: url.Values{"provider": {"keycloak"}, "issuer": {x.idp.URL}, "client_id": {clientID}, "client_secret": {clientSecret}}}
	}}},
	"POST /.gatehouse/setup/test": {{"a set-up's cookie", "", func(x *crossed, b *browser) carried {
		x.settingUp(b)
		b.enter(x.idp)
		return carried{method: http.MethodPost, path: setup.Path + "/test", form: url.Values{"provider": {"keycloak"}}, worked: showing("/.gatehouse/login?")}
	}}},
	"POST /.gatehouse/setup/finish": {{"a set-up's cookie", "", func(x *crossed, b *browser) carried {
		x.settingUp(b)
		b.enter(x.idp)
		b.open(refreshOf(x.t, b.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}}))).has(x.t, http.StatusOK, "works")
		return carried{method: http.MethodPost, path: setup.Path + "/finish", worked: x.connected(true)}
	}}},
}

// atFactor is the page that asks mia for her second factor.
func (x *crossed) atFactor(b *browser) page {
	x.t.Helper()
	x.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	defer x.connections.setFactor(tenants.SecondFactor{})
	p := x.come("mia", b)
	p.has(x.t, http.StatusOK, "Show your second factor")
	return p
}

// leaving signs somebody out here, and gives what the provider says to that.
func (x *crossed) leaving(b *browser) (said notice, relay string) {
	x.t.Helper()
	b.samlSignIn("adfs", "gil", "s4")
	asked := x.readRedirect(x.t, b.signOutHere().onward(x.t), "SAMLRequest")
	return x.logoutAnswer(asked, "Success"), asked.relay
}

// settingUp has a browser begin to connect a provider.
func (x *crossed) settingUp(b *browser) {
	x.t.Helper()
	x.n++
	x.idp.atIDPSession(fmt.Sprint("tester-", x.n), "sid", fmt.Sprintf("tester-%d@acme.example", x.n))
	x.connections.remove("corp")
	_, path := x.link(x.t, setup.Terms{})
	b.begin(path).has(x.t, http.StatusOK, "Which identity provider")
}

// connected reports whether there is the connection of the set-up, and it is switched
// on if it is to be.
func (x *crossed) connected(on bool) func(*httptest.ResponseRecorder) bool {
	return func(*httptest.ResponseRecorder) bool {
		c, err := x.connections.Connection(x.t.Context(), acme, "corp")
		return err == nil && (c.Enabled || !on)
	}
}
