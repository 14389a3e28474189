package authn

import (
	"net/http"
	"net/url"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

// maxDeviceForm bounds what our own page sends.
const maxDeviceForm = 4 << 10

// paramUserCode carries the code that a program shows (RFC 8628 §3.3.1).
const paramUserCode = "user_code"

// errNotABrowser keeps a program's session from making others like it, which would
// outlive it.
var errNotABrowser = fault.New(fault.Denied, "not-a-browser", "Programs are signed in by a person in a browser, not by another program.")

// deviceCaller is the person at the page; nil if the answer has been given.
func (s *Service) deviceCaller(w http.ResponseWriter, r *http.Request, typed string) (*identity.Principal, error) {
	caller, err := s.Caller(r)
	if err != nil {
		return nil, err
	}
	back := pathDevice
	if code, ok := parseUserCode(typed); ok {
		back += "?" + url.Values{paramUserCode: {code.String()}}.Encode()
	}
	p := caller.Principal
	if caller.Live == nil {
		redirect(w, loginURL("", back, false))
		return nil, nil
	}
	if p.Program {
		return nil, errNotABrowser
	}
	if t, ok := s.tenants.ByID(p.Tenant); ok {
		switch t.Settings.Session.DeviceLogin {
		case tenants.RefuseDeviceLogin:
			return nil, errDeviceLogin
		case tenants.RecentDeviceLogin:
			if !s.recent(p.Tenant, p.AuthTime) {
				redirect(w, loginURL("", back, true))
				return nil, nil
			}
		}
	}
	return p, nil
}

// askForCode shows where to enter the code that a program shows. One that came with
// the address is filled in, and nothing more: who has followed a link has not yet
// said anything (RFC 8628 §3.3.1, §5.4).
func (s *Service) askForCode(w http.ResponseWriter, r *http.Request) error {
	typed := r.URL.Query().Get(paramUserCode)
	p, err := s.deviceCaller(w, r, typed)
	if err != nil || p == nil {
		return err
	}
	lead := "Enter the code that your program shows."
	code, ok := parseUserCode(typed)
	shown := ""
	if ok {
		lead, shown = "Compare: your program must show exactly this code. If it shows another one, or you have started none, close this page.", code.String()
	}
	content, err := body(r, "device.html", struct{ Action, Code string }{pathDevice, shown})
	if err != nil {
		return err
	}
	s.page(w, r, httpkit.Page{Title: "Sign in a program", Lead: lead, Body: content, Notice: s.news(r, p)})
	return nil
}

// postDevice takes the code that was entered, or what its person says to it.
func (s *Service) postDevice(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r, maxDeviceForm); err != nil {
		return err
	}
	form := r.PostForm
	for _, values := range form {
		if len(values) > 1 {
			return fault.New(fault.Invalid, "bad-form", "The form says something twice. Open the page again.")
		}
	}
	p, err := s.deviceCaller(w, r, form.Get(paramUserCode))
	if err != nil || p == nil {
		return err
	}
	code, ok := parseUserCode(form.Get(paramUserCode))
	if !ok {
		return s.refuseCode(w, r, p, asking{}, Refuse(codeUnknown, "What was entered is no code."))
	}
	if form.Has(paramStep) {
		return s.decideDevice(w, r, p, code)
	}
	a, err := s.codes.entered(r.Context(), p.Tenant, p.User, code)
	if err != nil {
		return s.refuseCode(w, r, p, a, err)
	}
	return s.confirmDevice(w, r, p, code, a)
}

// confirmDevice shows who asks, and from where. The answer is for this person's
// browser, and counts once.
func (s *Service) confirmDevice(w http.ResponseWriter, r *http.Request, p *identity.Principal, code userCode, a asking) error {
	person, err := s.directory.Person(r.Context(), p.Tenant, p.User)
	if err != nil {
		return err
	}
	browser := flowCookie(r)
	if browser == "" {
		browser = newToken()
	}
	step := newToken()
	if err := s.flows.put(r.Context(), p.Tenant, step, browser, p.Connection, flow{Hop: hopDevice, User: p.User, Private: userHash(code)}); err != nil {
		return storeDown(err)
	}
	own := httpkit.RequestFrom(r.Context()).ClientIP
	content, err := body(r, "device_confirm.html", struct {
		Action, Code, Step, Program, Host, IP, UserAgent string
		At                                               time.Time
		Elsewhere                                        bool
	}{pathDevice, code.String(), step, clients[a.client], saidOfItself(a.host, maxClaim), a.ip.String(), a.userAgent, a.created,
		httpkit.ClientNetwork(a.ip) != httpkit.ClientNetwork(own)})
	if err != nil {
		return err
	}
	httpkit.SetFlowCookie(w, browser)
	s.page(w, r, httpkit.Page{Title: "Allow this program?", Body: content,
		Lead: words.For(r).Say("A program asks to be signed in as you, %s. It could then do all that you may do here.", personName(person))})
	return nil
}

func personName(p identity.Person) string {
	switch {
	case p.Email != "":
		return p.Email
	case p.Name != "":
		return p.Name
	}
	return p.UserName
}

// decideDevice takes what the person says. The record comes first (P1).
func (s *Service) decideDevice(w http.ResponseWriter, r *http.Request, p *identity.Principal, code userCode) error {
	state, err := s.flows.take(r.Context(), p.Tenant, r.PostForm.Get(paramStep), flowCookie(r), hopDevice, p.Connection)
	if err != nil {
		return s.refuseCode(w, r, p, asking{}, err)
	}
	if state.User != p.User || string(state.Private) != string(userHash(code)) {
		return s.refuseCode(w, r, p, asking{}, Refuse(otherSession, "The page was made for somebody else, or for another code."))
	}
	a, err := s.codes.find(r.Context(), p.Tenant, code)
	if err != nil {
		return s.refuseCode(w, r, p, a, err)
	}
	kind, to := audit.DeviceLoginDenied, askDenied
	switch r.PostForm.Get("decision") {
	case "allow":
		kind, to = audit.DeviceLoginAllowed, askAllowed
	case "deny":
	default:
		return fault.New(fault.Invalid, "nothing-chosen", "The form does not say whether to allow it.")
	}
	e := s.deviceEvent(r, p, kind, audit.Success, a)
	if _, err := s.journal.Commit(r.Context(), e); err != nil {
		return err
	}
	done, err := s.codes.decide(r.Context(), code, to, p)
	if err != nil {
		return err
	}
	if !done {
		return s.refuseCode(w, r, p, a, Refuse(replayed, "The program's code was answered before, or too late."))
	}
	page := httpkit.Page{Title: "Denied", Lead: "Nobody was signed in. If somebody sent you the code, tell your administrator.",
		Links: []httpkit.Link{{Text: "Back to the app", Href: "/"}}}
	if to == askAllowed {
		page.Title, page.Lead = "Allowed", "Your program is signed in within a few seconds. Keep your browser signed in until then. You may close this page."
		page.Links = []httpkit.Link{{Text: "Your devices", Href: pathDevices}}
	}
	s.page(w, r, page)
	return nil
}

// refuseCode records what came to nothing at the page, and shows it.
func (s *Service) refuseCode(w http.ResponseWriter, r *http.Request, p *identity.Principal, a asking, err error) error {
	refusal, _, ok := refusalOf(err)
	if f := fault.As(err); f.Kind == fault.TooMany {
		refusal, ok = &Refusal{Reason: Reason(f.Code), Message: f.Detail, cause: err}, true
	}
	if !ok {
		return err
	}
	e := s.deviceEvent(r, p, audit.DeviceLoginRefused, audit.Refused, a)
	e.Reason, e.Message = string(refusal.Reason), refusal.Message
	receipt, recordErr := s.refusals.Record(r.Context(), e)
	if recordErr != nil {
		return recordErr
	}
	if f := fault.As(err); f.Kind == fault.TooMany {
		return f.WithEvent(string(receipt.Event()))
	}
	s.page(w, r, httpkit.Page{
		Status: http.StatusForbidden, Title: "This did not work", Lead: refusal.Reason.deviceLead(),
		Links: []httpkit.Link{{Text: "Enter another code", Href: pathDevice}},
		Facts: []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(e.RequestID)}},
	})
	return nil
}

// deviceLead is what the person reads.
func (r Reason) deviceLead() string {
	switch r {
	case codeUnknown:
		return "No program shows this code. Look at it again: it has 8 letters, and no vowels."
	case stepExpired:
		return "This took too long. Start again in your program."
	case replayed:
		return "This code was answered already. If that was not you, start again in your program."
	case otherBrowser, otherSession, otherConnection, unsolicited:
		return "This page was opened in another browser, or by somebody else. Enter the code again here."
	}
	return "The program was not signed in. Start again in your program."
}

func (s *Service) deviceEvent(r *http.Request, p *identity.Principal, t audit.Type, o audit.Outcome, a asking) audit.Event {
	e := audit.Event{Type: t, Outcome: o}
	e.Describe(r, p)
	e.Actor = s.actorOf(r, p)
	if a.client != "" {
		e.Target = audit.Target{Kind: "program", ID: a.client, Name: a.host}
		e.Details = map[string]string{"client": a.client, "host": a.host, "asked_from": a.ip.String()}
	}
	return e
}
