package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/signals/transmittertest"
	"gatehouse/identity"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	caep = transmittertest.CAEP
	risc = transmittertest.RISC
	ssf  = transmittertest.SSF

	signalsOfIDP = "/.gatehouse/signals/idp"
)

type set = map[string]any

// heeding is the connection of an identity provider whose signals come from a
// transmitter of its own.
func heeding(idp *issuer, x *transmittertest.Transmitter) tenants.Connection {
	c := idp.connection()
	c.Signals = &tenants.Signals{Issuer: x.URL}
	return c
}

// push pushes as the transmitter does: without cookies.
func (w *world) push(x *transmittertest.Transmitter, path, token string, header http.Header) transmittertest.Answer {
	b := w.browser()
	transport, ok := b.Transport.(asBrowser)
	if !ok {
		w.t.Fatalf("a browser of another kind: %T", b.Transport)
	}
	return x.Push(&http.Client{Transport: transport.next}, w.url+path, token, header)
}

// event is a token about one event, for the connection idp.
func (w *world) event(x *transmittertest.Transmitter, event string, about, subject set) string {
	token, _ := x.Event(w.url+signalsOfIDP, event, about, subject)
	return x.Sign(token)
}

func opaque(id string) set        { return set{"format": "opaque", "id": id} }
func issSub(iss, sub string) set  { return set{"format": "iss_sub", "iss": iss, "sub": sub} }
func byEmail(address string) set  { return set{"format": "email", "email": address} }
func complexOf(members set) set   { members["format"] = "complex"; return members }
func old(event set, who set) set  { event["subject"] = who; return event }
func last[T any](all []T) (one T) { return all[len(all)-1] }

func TestP2_PushedSignalsEndWhatTheyName(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(heeding(idp, x))
	other := heeding(idp, x)
	other.Name = "other" // the same provider, trusted once more
	w.connections.put(other)
	ann := issSub(idp.URL, "ann")
	revoked := caep + "session-revoked"
	for name, c := range map[string]struct {
		event   string
		about   set
		subject set
		ends    []int
		reason  string // of the end, or why there is none
	}{
		"a session":                         {revoked, nil, opaque("s1"), []int{0}, "session-revoked-at-provider"},
		"a session of the person's":         {revoked, nil, complexOf(set{"user": ann, "session": opaque("s2"), "tenant": opaque("t")}), []int{1}, "session-revoked-at-provider"},
		"a session alone":                   {revoked, nil, complexOf(set{"session": opaque("s2")}), []int{1}, "session-revoked-at-provider"},
		"a session of somebody else's":      {revoked, nil, complexOf(set{"user": issSub(idp.URL, "bob"), "session": opaque("s2")}), nil, "session-revoked-at-provider"},
		"the person":                        {revoked, nil, ann, []int{0, 1}, "session-revoked-at-provider"},
		"the person, without saying so":     {revoked, nil, opaque("ann"), []int{0, 1}, "session-revoked-at-provider"},
		"the person by the transmitter":     {revoked, nil, issSub(x.URL, "ann"), []int{0, 1}, "session-revoked-at-provider"},
		"the person by a slash more":        {revoked, nil, issSub(idp.URL+"/", "ann"), []int{0, 1}, "session-revoked-at-provider"},
		"the person by another issuer":      {revoked, nil, issSub("https://other.example", "ann"), nil, "subject-unknown"},
		"the person by an address":          {revoked, nil, byEmail(" Ann.IDP@Acme.example"), []int{0, 1}, "session-revoked-at-provider"},
		"an address of another connection":  {revoked, nil, byEmail("ann.other@acme.example"), nil, "subject-unknown"},
		"an address that is none":           {revoked, nil, byEmail("ann.idp@acme.example@x"), nil, "subject-unknown"},
		"somebody whom nobody knows":        {revoked, nil, issSub(idp.URL, "cid"), nil, "session-revoked-at-provider"},
		"somebody by a number":              {revoked, nil, set{"format": "phone_number", "phone_number": "+1"}, nil, "subject-unknown"},
		"as it was before":                  {revoked, old(set{}, set{"subject_type": "iss-sub", "iss": idp.URL, "sub": "ann"}), nil, []int{0, 1}, "session-revoked-at-provider"},
		"by members, as before":             {revoked, old(set{}, set{"user": ann}), nil, []int{0, 1}, "session-revoked-at-provider"},
		"both ways":                         {revoked, old(set{}, ann), ann, []int{0, 1}, "session-revoked-at-provider"},
		"credential revoked":                {caep + "credential-change", set{"change_type": "revoke", "credential_type": "password"}, ann, []int{0, 1}, "credential-changed"},
		"credential changed":                {caep + "credential-change", set{"change_type": "update"}, ann, []int{0, 1}, "credential-changed"},
		"credential deleted":                {caep + "credential-change", set{"change_type": "delete"}, opaque("ann"), []int{0, 1}, "credential-changed"},
		"credential made":                   {caep + "credential-change", set{"change_type": "create"}, ann, nil, "no-effect"},
		"device not compliant":              {caep + "device-compliance-change", set{"current_status": "not-compliant"}, complexOf(set{"device": opaque("d"), "user": ann}), []int{0, 1}, "device-not-compliant"},
		"device compliant":                  {caep + "device-compliance-change", set{"current_status": "compliant"}, ann, nil, "no-effect"},
		"device of nobody":                  {caep + "device-compliance-change", set{"current_status": "not-compliant"}, complexOf(set{"device": opaque("d")}), nil, "subject-unknown"},
		"account disabled":                  {risc + "account-disabled", set{"reason": "hijacking"}, ann, []int{0, 1}, "account-disabled-at-provider"},
		"account disabled, in a session":    {risc + "account-disabled", nil, complexOf(set{"user": ann, "session": opaque("s2")}), []int{0, 1}, "account-disabled-at-provider"},
		"account purged":                    {risc + "account-purged", nil, ann, []int{0, 1}, "account-purged-at-provider"},
		"sessions revoked":                  {risc + "sessions-revoked", nil, ann, []int{0, 1}, "session-revoked-at-provider"},
		"credential change required":        {risc + "account-credential-change-required", nil, ann, []int{0, 1}, "credential-change-required"},
		"verification":                      {ssf + "verification", set{"state": "as agreed"}, opaque("stream"), nil, "verification"},
		"stream updated":                    {ssf + "stream-updated", set{"status": "paused"}, opaque("stream"), nil, "stream-updated"},
		"an event that nobody knows":        {"https://schemas.example/event", set{"a": set{"b": []int{1}}}, ann, nil, "event-unknown"},
		"an event that does not concern us": {caep + "session-established", nil, ann, nil, "event-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			var browsers []*browser
			var wires []*wire
			for _, at := range []struct{ connection, sub, sid string }{{"idp", "ann", "s1"}, {"idp", "ann", "s2"}, {"idp", "bob", "s3"}, {"other", "ann", "s1"}} {
				b := w.browser()
				b.t = t
				idp.atIDPSession(at.sub, at.sid, at.sub+"."+at.connection+"@acme.example")
				b.open("/.gatehouse/login?connection="+at.connection).has(t, http.StatusOK, "app /")
				browsers, wires = append(browsers, b), append(wires, b.stream())
			}
			received, ended := len(w.journal.all(audit.SignalReceived)), len(w.journal.all(audit.SessionsRevoked))
			token, _ := x.Event(w.url+signalsOfIDP, c.event, c.about, c.subject)
			if claims, ok := token.Claims.(jwt.MapClaims); ok && c.subject == nil {
				delete(claims, "sub_id")
			}
			a := w.push(x, signalsOfIDP, x.Sign(token), nil)
			if a.Status != http.StatusAccepted || a.Body != "" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v %q", a.Status, a.Header, a.Body)
			}
			for i, b := range browsers {
				if ends := slices.Contains(c.ends, i); b.signedIn() == ends || wires[i].cut.Load() != ends {
					t.Errorf("browser %d: signed in %t, stream cut %t", i, b.signedIn(), wires[i].cut.Load())
				} else if !ends {
					wires[i].leave()
				}
			}
			events := w.journal.all(audit.SignalReceived)
			e := last(events)
			if len(events) != received+1 || e.Details["event"] != c.event || e.Actor.Kind != identity.KindIDP || e.Connection != "con_idp" || e.IP.String() != "203.0.113.7" {
				t.Errorf("received as %+v", e)
			}
			if state, _ := c.about["state"].(string); e.Details["state"] != state {
				t.Errorf("state %q", e.Details["state"])
			}
			revocations := w.journal.all(audit.SessionsRevoked)[ended:]
			if why := e.Reason; why != "" && (why != c.reason || len(revocations) != 0) {
				t.Errorf("ends nothing because of %q, and yet %+v", why, revocations)
			} else if why == "" && (len(revocations) == 0 || revocations[0].Reason != c.reason || revocations[0].Actor.Kind != identity.KindIDP || revocations[0].Connection != "con_idp") {
				t.Errorf("revoked as %+v", revocations)
			}
			_, err := w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{All: true}, "test")
			check(t, err)
		})
	}
}

func TestHostileSignalsEndNothing(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(heeding(idp, x))
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	open := b.stream()
	defer open.leave()

	const event = caep + "session-revoked"
	ann := issSub(idp.URL, "subject-1")
	changed := func(change func(header, claims set)) string {
		token, _ := x.Event(w.url+signalsOfIDP, event, nil, ann)
		claims, ok := token.Claims.(jwt.MapClaims)
		if !ok {
			t.Fatal("other claims")
		}
		change(token.Header, claims)
		return x.Sign(token)
	}
	with := func(name string, value any) string { return changed(func(_, claims set) { claims[name] = value }) }
	without := func(name string) string { return changed(func(_, claims set) { delete(claims, name) }) }
	header := func(name string, value any) string { return changed(func(header, _ set) { header[name] = value }) }
	signed := func(method jwt.SigningMethod, key any) string {
		token, _ := x.Event(w.url+signalsOfIDP, event, nil, ann)
		token.Method, token.Header["alg"] = method, method.Alg()
		raw, err := token.SignedString(key)
		check(t, err)
		return raw
	}
	payload := func(change func(string) string) string {
		token, _ := x.Event(w.url+signalsOfIDP, event, nil, ann)
		raw, err := json.Marshal(token.Claims)
		check(t, err)
		return x.SignRaw(change(string(raw)))
	}
	good := w.event(x, event, nil, ann)
	now := time.Now()
	for name, c := range map[string]struct {
		token  string
		status int
		code   string
		want   authn.Reason
	}{
		"another key":          {signed(jwt.SigningMethodES256, stranger), 400, "invalid_key", authn.WrongKey},
		"unknown key":          {header("kid", "t2"), 400, "invalid_key", authn.WrongKey},
		"changed after":        {good[:len(good)-6] + "AAAAAA", 400, "invalid_key", authn.WrongKey},
		"algorithm none":       {signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), 400, "invalid_key", authn.WrongAlgorithm},
		"algorithm HS256":      {signed(jwt.SigningMethodHS256, []byte("secret")), 400, "invalid_key", authn.WrongAlgorithm},
		"something critical":   {header("crit", []string{"b64"}), 400, "invalid_request", authn.Malformed},
		"wrong issuer":         {with("iss", "https://evil.example"), 400, "invalid_issuer", authn.WrongIssuer},
		"of the sign-ins":      {with("iss", idp.URL), 400, "invalid_issuer", authn.WrongIssuer},
		"no issuer":            {without("iss"), 400, "invalid_issuer", authn.WrongIssuer},
		"wrong audience":       {with("aud", "https://other.example"), 400, "invalid_audience", authn.WrongAudience},
		"another connection's": {with("aud", w.url+"/.gatehouse/signals/other"), 400, "invalid_audience", authn.WrongAudience},
		"another tenant's":     {with("aud", "https://globex.example"+signalsOfIDP), 400, "invalid_audience", authn.WrongAudience},
		"an odd audience":      {with("aud", []any{w.url + signalsOfIDP, 7}), 400, "invalid_audience", authn.WrongAudience},
		"no audience":          {without("aud"), 400, "invalid_audience", authn.WrongAudience},
		"another type":         {header("typ", "JWT"), 400, "invalid_request", authn.Malformed},
		"a logout token":       {header("typ", "logout+jwt"), 400, "invalid_request", authn.Malformed},
		"no type":              {changed(func(header, _ set) { delete(header, "typ") }), 400, "invalid_request", authn.Malformed},
		"an id token":          {b.idToken(idp), 400, "invalid_request", authn.Malformed},
		"it expires":           {with("exp", now.Add(time.Hour).Unix()), 400, "invalid_request", authn.Malformed},
		"a subject of its own": {with("sub", "subject-1"), 400, "invalid_request", authn.Malformed},
		"stale":                {with("iat", now.Add(-7*24*time.Hour-2*time.Minute).Unix()), 400, "invalid_request", authn.Expired},
		"of the future":        {with("iat", now.Add(2*time.Minute).Unix()), 400, "invalid_request", authn.NotYetValid},
		"of no time":           {without("iat"), 400, "invalid_request", authn.NotYetValid},
		"of a time in words":   {with("iat", "now"), 400, "invalid_request", authn.NotYetValid},
		"no id":                {without("jti"), 400, "invalid_request", authn.Malformed},
		"a long id":            {with("jti", strings.Repeat("j", 256)), 400, "invalid_request", authn.Malformed},
		"an id that is none":   {with("jti", 7), 400, "invalid_request", authn.Malformed},
		"no events":            {without("events"), 400, "invalid_request", authn.Malformed},
		"none of them":         {with("events", set{}), 400, "invalid_request", authn.Malformed},
		"several of them":      {with("events", set{event: set{}, risc + "account-purged": set{}}), 400, "invalid_request", authn.Malformed},
		"a list of them":       {with("events", []string{event}), 400, "invalid_request", authn.Malformed},
		"an event of null":     {with("events", set{event: nil}), 400, "invalid_request", authn.Malformed},
		"an odd change":        {with("events", set{caep + "credential-change": set{"change_type": "x"}}), 400, "invalid_request", authn.Malformed},
		"an odd status":        {with("events", set{caep + "device-compliance-change": set{}}), 400, "invalid_request", authn.Malformed},
		"about nobody":         {without("sub_id"), 400, "invalid_request", authn.SubjectUnusable},
		"about two":            {with("events", set{event: old(set{}, issSub(idp.URL, "bob"))}), 400, "invalid_request", authn.SubjectUnusable},
		"about a word":         {with("sub_id", "subject-1"), 400, "invalid_request", authn.SubjectUnusable},
		"about no form":        {with("sub_id", set{"iss": idp.URL, "sub": "subject-1"}), 400, "invalid_request", authn.SubjectUnusable},
		"about half a name":    {with("sub_id", set{"format": "iss_sub", "sub": "subject-1"}), 400, "invalid_request", authn.SubjectUnusable},
		"about an empty name":  {with("sub_id", issSub(idp.URL, "")), 400, "invalid_request", authn.SubjectUnusable},
		"about a long name":    {with("sub_id", issSub(idp.URL, strings.Repeat("s", 1025))), 400, "invalid_request", authn.SubjectUnusable},
		"about no text":        {with("sub_id", issSub(idp.URL, "a\x00b")), 400, "invalid_request", authn.SubjectUnusable},
		"about an odd user":    {with("sub_id", complexOf(set{"user": "subject-1", "session": opaque("idp-session")})), 400, "invalid_request", authn.SubjectUnusable},
		"about an odd session": {with("sub_id", complexOf(set{"user": ann, "session": ann})), 400, "invalid_request", authn.SubjectUnusable},
		"a claim twice":        {payload(func(s string) string { return `{"jti":"x",` + s[1:] }), 400, "invalid_request", authn.Malformed},
		"a member twice":       {payload(func(s string) string { return strings.Replace(s, `"sub":`, `"sub":"x","sub":`, 1) }), 400, "invalid_request", authn.Malformed},
		"deep": {payload(func(s string) string {
			return `{"x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "," + s[1:]
		}), 400, "invalid_request", authn.TooDeep},
		"not UTF-8":           {payload(func(s string) string { return `{"x":"` + "\xff" + `",` + s[1:] }), 400, "invalid_request", authn.Malformed},
		"more than one value": {payload(func(s string) string { return s + "{}" }), 400, "invalid_request", authn.Malformed},
		"no object":           {payload(func(string) string { return "[]" }), 400, "invalid_request", authn.Malformed},
		"large":               {strings.Repeat("a", 70_000), 413, "invalid_request", authn.TooLarge},
		"not a token":         {"x.y", 400, "invalid_request", authn.Malformed},
		"encrypted":           {"a.b.c.d.e", 400, "invalid_request", authn.Malformed},
		"nothing":             {"", 400, "invalid_request", authn.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.journal.all(audit.SignalRefused))
			a := w.push(x, signalsOfIDP, c.token, nil)
			refused := w.journal.all(audit.SignalRefused)
			if len(refused) != before+1 || authn.Reason(last(refused).Reason) != c.want || last(refused).Connection != "con_idp" {
				t.Errorf("recorded as %+v, want %s", refused[before:], c.want)
			}
			setError(t, a, c.status, c.code)
			if !b.signedIn() || open.cut.Load() || len(w.journal.all(audit.SessionsRevoked))+len(w.journal.all(audit.SignalReceived)) != 0 {
				t.Error("something was ended")
			}
		})
	}
	if a := w.push(x, signalsOfIDP, good, nil); a.Status != http.StatusAccepted || b.signedIn() {
		t.Errorf("the good token ended nothing: %d %s", a.Status, a.Body)
	}
}

// setError checks an answer by RFC 8935 §2.3.
func setError(t *testing.T, a transmittertest.Answer, status int, code string) {
	t.Helper()
	var told struct {
		Code        string `json:"err"`
		Description string `json:"description"`
	}
	check(t, json.Unmarshal([]byte(a.Body), &told))
	if a.Status != status || told.Code != code || told.Description == "" || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s, want %d %s", a.Status, a.Header, a.Body, status, code)
	}
}

func TestASignalIsHeededOnce(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	w.connections.put(heeding(idp, x))
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	raw := w.event(x, caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))

	// What did not come about may be told again.
	w.journal.fail(errors.New("disk full"))
	if a := w.push(x, signalsOfIDP, raw, nil); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || !b.signedIn() {
		t.Errorf("without a journal: %d", a.Status)
	}
	w.journal.mend()
	if a := w.push(x, signalsOfIDP, raw, nil); a.Status != http.StatusAccepted || b.signedIn() {
		t.Fatalf("%d %s, still signed in: %t", a.Status, a.Body, b.signedIn())
	}
	b.open("/").has(t, http.StatusOK)
	for _, later := range []time.Duration{0, time.Hour, 6 * 24 * time.Hour} {
		w.advance(later)
		w.browser().open("/.gatehouse/login") // drives out what has expired
		a := w.push(x, signalsOfIDP, raw, nil)
		if e := last(w.journal.all(audit.SignalRefused)); a.Status != http.StatusAccepted || a.Body != "" || e.Reason != "replayed" || !b.signedIn() {
			t.Errorf("again after %v: %d %s, recorded as %+v", later, a.Status, a.Body, e)
		}
	}
	w.advance(24 * time.Hour)
	setError(t, w.push(x, signalsOfIDP, raw, nil), http.StatusBadRequest, "invalid_request")
	if e := last(w.journal.all(audit.SignalRefused)); e.Reason != string(authn.Expired) || !b.signedIn() {
		t.Errorf("much later: %+v", e)
	}
}

func TestWhoMayPushSignals(t *testing.T) {
	w, idp, x, y := newWorld(t), newIssuer(t), transmittertest.New(t), transmittertest.New(t)
	put := func(name string, change func(*tenants.Connection)) {
		c := heeding(idp, x)
		c.Name, c.Signals.Audience = name, "gatehouse"
		change(&c)
		w.connections.put(c)
	}
	put("idp", func(*tenants.Connection) {})
	put("guarded", func(c *tenants.Connection) { c.Signals.Authorization = "Basic Zm9v" })
	put("off", func(c *tenants.Connection) { c.Enabled = false })
	put("deaf", func(c *tenants.Connection) { c.Signals = nil })
	put("polled", func(c *tenants.Connection) {
		c.Signals.Poll = &tenants.SignalsPoll{Endpoint: x.URL + "/poll", Token: "t"}
	})
	put("other", func(c *tenants.Connection) { c.Signals.Issuer = y.URL })
	b := w.browser()
	b.open("/.gatehouse/login?connection=guarded").has(t, http.StatusOK)
	token := func(audience string) string {
		token, _ := x.Event(audience, caep+"session-revoked", nil, issSub(idp.URL, "subject-1"))
		return x.Sign(token)
	}
	auth := func(values ...string) http.Header { return http.Header{"Authorization": values} }
	const path = "/.gatehouse/signals/"
	for name, c := range map[string]struct {
		to     string
		header http.Header
		status int
		code   string
		want   string
	}{
		"without the secret":  {"guarded", nil, 401, "authentication_failed", "wrong-authorization"},
		"by another":          {"guarded", auth("Basic Zm9w"), 401, "authentication_failed", "wrong-authorization"},
		"by more of it":       {"guarded", auth("Basic Zm9vx"), 401, "authentication_failed", "wrong-authorization"},
		"by two":              {"guarded", auth("Basic Zm9v", "Basic Zm9v"), 401, "authentication_failed", "wrong-authorization"},
		"as JSON":             {"idp", http.Header{"Content-Type": {"application/json"}}, 415, "invalid_request", "wrong-media-type"},
		"as nothing":          {"idp", http.Header{"Content-Type": {""}}, 415, "invalid_request", "wrong-media-type"},
		"to a disabled one":   {"off", nil, 400, "access_denied", "connection-unknown"},
		"to a deaf one":       {"deaf", nil, 400, "access_denied", "connection-unknown"},
		"to one that fetches": {"polled", nil, 400, "access_denied", "connection-unknown"},
		"to nobody":           {"nobody", nil, 400, "access_denied", "connection-unknown"},
		"to another's":        {"other", nil, 400, "invalid_issuer", "wrong-issuer"},
	} {
		setError(t, w.push(x, path+c.to, token("gatehouse"), c.header), c.status, c.code)
		if e := last(w.journal.all(audit.SignalRefused)); e.Reason != c.want || !b.signedIn() {
			t.Errorf("%s: recorded as %+v", name, e)
		}
		if strings.Contains(last(w.journal.all(audit.SignalRefused)).Message, "Zm9v") {
			t.Error("the secret is in the journal")
		}
	}
	if p := b.open(path + "idp"); p.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", p.status)
	}
	// A token for one connection ends nothing of another one, though it is good there.
	if a := w.push(x, path+"idp", token("gatehouse"), nil); a.Status != http.StatusAccepted || !b.signedIn() {
		t.Errorf("%d %s, signed in %t", a.Status, a.Body, b.signedIn())
	}
	setError(t, w.push(x, path+"idp", token(w.url+path+"idp"), nil), http.StatusBadRequest, "invalid_audience")
	if a := w.push(x, path+"guarded", token("gatehouse"), auth("Basic Zm9v")); a.Status != http.StatusAccepted || b.signedIn() {
		t.Errorf("with the secret: %d %s", a.Status, a.Body)
	}
	w.connections.setStatus(tenants.Suspended)
	setError(t, w.push(x, path+"idp", token("gatehouse"), nil), http.StatusBadRequest, "access_denied")
}

func TestSignalsByTheTransmittersKeys(t *testing.T) {
	w, idp, x := newWorld(t), newIssuer(t), transmittertest.New(t)
	push := func() transmittertest.Answer {
		return w.push(x, signalsOfIDP, w.event(x, ssf+"verification", set{"state": "s"}, opaque("stream")), nil)
	}
	accepted := func(when string) {
		t.Helper()
		if a := push(); a.Status != http.StatusAccepted {
			t.Errorf("%s: %d %s", when, a.Status, a.Body)
		}
	}
	unreachable := func(when string) {
		t.Helper()
		a := push()
		setError(t, a, http.StatusServiceUnavailable, "invalid_request")
		if e := last(w.journal.all(audit.SignalRefused)); e.Reason != string(authn.ProviderUnreachable) || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: recorded as %+v", when, e)
		}
	}
	w.connections.put(heeding(idp, x))
	accepted("discovered")
	x.RollKey()
	accepted("with a new key")
	for name, change := range map[string]func(map[string]any){
		"of another issuer": func(c map[string]any) { c["issuer"] = "https://evil.example" },
		"without keys":      func(c map[string]any) { delete(c, "jwks_uri") },
		"over plain http":   func(c map[string]any) { c["jwks_uri"] = "http://evil.example/jwks" },
		"inside":            func(c map[string]any) { c["jwks_uri"] = "https://10.0.0.1/jwks" },
	} {
		x.Configure(change)
		w.connections.put(heeding(idp, x)) // another version, discovered anew
		unreachable(name)
	}
	given := heeding(idp, x)
	given.Signals.JWKSURL = x.URL + "/jwks"
	w.connections.put(given)
	accepted("whose keys are given")
	x.Close()
	w.connections.put(given)
	unreachable("gone")
	// Whoever is seen to be a stranger without keys has nobody asked for any.
	w.connections.put(heeding(idp, x))
	setError(t, w.push(x, signalsOfIDP, "a.b.c", nil), http.StatusBadRequest, "invalid_request")
	if e := last(w.journal.all(audit.SignalRefused)); e.Reason != string(authn.Malformed) {
		t.Errorf("recorded as %+v", e)
	}
}

func TestP2_SignalsOfASAMLProvider(t *testing.T) {
	w, x := newWorld(t), transmittertest.New(t)
	c := samlConnection(ourKey())
	c.Signals = &tenants.Signals{Issuer: x.URL, Audience: "gatehouse"}
	w.connections.put(c)
	b := w.browser()
	for name, subject := range map[string]set{
		"by its entity id": issSub(idpEntity, "gil"), "its session": complexOf(set{"user": issSub(idpEntity, "gil"), "session": opaque("idx")}),
		"by another's": issSub("https://evil.example", "gil"),
	} {
		f := b.samlFlight()
		doc := f.message.Document(t)
		ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		b.postFromElsewhere(f.acs, f.form(bytesOf(t, doc))).has(t, http.StatusOK)
		token, _ := x.Event("gatehouse", caep+"session-revoked", nil, subject)
		a := w.push(x, "/.gatehouse/signals/adfs", x.Sign(token), nil)
		if a.Status != http.StatusAccepted || b.signedIn() != (name == "by another's") {
			t.Errorf("%s: %d %s, signed in %t", name, a.Status, a.Body, b.signedIn())
		}
		_, err := w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{All: true}, "test")
		check(t, err)
	}
}
