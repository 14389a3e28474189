package authn

import (
	"encoding/base64"
	"errors"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

// showFactors serves the page that fits who comes: to show a factor, to add one, or
// to look at those that there are.
func (s *Service) showFactors(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r, maxFactorForm); err != nil {
		return err
	}
	v, err := s.visitor(w, r)
	if v == nil || err != nil {
		return err
	}
	add, none := FactorKind(r.Form.Get(paramAdd)), len(v.held.Factors) == 0
	switch {
	case add != "" && (v.live != nil || none):
		if away := s.mayChange(v, safeReturn(r.URL.RequestURI())); away != "" {
			redirect(w, away)
			return nil
		}
		return s.offerPage(w, r, v, add, nil, "")
	case !none && (v.live == nil || v.stepUp):
		return s.askPage(w, r, v, http.StatusOK, "")
	case none && (v.live == nil || v.stepUp):
		return s.choosePage(w, r, v)
	}
	return s.factorsPage(w, r, v)
}

// takeFactor takes what the forms of these pages send.
func (s *Service) takeFactor(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r, maxFactorForm); err != nil {
		return err
	}
	v, err := s.visitor(w, r)
	if v == nil || err != nil {
		return err
	}
	if ok, err := s.onTheWay(w, r, v); !ok || err != nil {
		return err
	}
	do := r.PostForm.Get("do")
	switch {
	case do == "show":
		return s.verifyFactor(w, r, v)
	case do == "enrol" && (v.live != nil || len(v.held.Factors) == 0):
		return s.enrolFactor(w, r, v)
	case v.live != nil:
		return s.changeFactors(w, r, v, do)
	}
	return fault.New(fault.Invalid, "nothing-chosen", "The form does not say what to do. Go back and try again.")
}

// mayChange tells where somebody must go who may not change their factors yet; "" if
// they may. Who has a factor shows it, so that a session that is left open is not
// enough to add another; who has none authenticates anew at the identity provider,
// as whoever is on the way has just done.
func (s *Service) mayChange(v *visitor, here string) string {
	if v.live == nil {
		return ""
	}
	p := v.live.Principal()
	if len(v.held.Factors) > 0 {
		if !s.recent(p.Tenant, p.FactorTime) {
			return factorURL(here)
		}
		return ""
	}
	if !s.recent(p.Tenant, p.AuthTime) {
		return loginURL("", here, true)
	}
	return ""
}

// verifyFactor takes a factor that is shown.
func (s *Service) verifyFactor(w http.ResponseWriter, r *http.Request, v *visitor) error {
	proof := Proof{Kind: FactorKind(r.PostForm.Get("kind")), Value: r.PostForm.Get("code")}
	shown, err := s.verifyProof(r, v, proof)
	if err != nil {
		return s.factorRefused(w, r, v, proof.Kind, err, func(status int, problem string) error {
			return s.askPage(w, r, v, status, problem)
		})
	}
	if ok, err := s.proved(w, r, v, shown); !ok || err != nil {
		return err
	}
	redirect(w, v.back)
	return nil
}

func (s *Service) verifyProof(r *http.Request, v *visitor, proof Proof) (Shown, error) {
	ctx := r.Context()
	if proof.Kind != Passkey {
		return s.factors.Verify(ctx, v.holder, nil, proof)
	}
	asked, err := s.openCeremony(ctx, v, Passkey, false, r.PostForm.Get("kept"))
	if err != nil {
		return Shown{}, err
	}
	fresh, err := s.flows.remember(ctx, v.holder.Tenant, hash("ceremony", asked.Nonce), time.UnixMilli(asked.Expires))
	if err != nil {
		return Shown{}, err
	}
	if !fresh {
		return Shown{}, Refuse(FactorUsed, "What was asked of the passkey was answered before.")
	}
	proof.Value = r.PostForm.Get("credential")
	return s.factors.Verify(ctx, v.holder, asked.Private, proof)
}

// enrolFactor adds a factor. It counts as shown from then on.
func (s *Service) enrolFactor(w http.ResponseWriter, r *http.Request, v *visitor) error {
	ctx := r.Context()
	if away := s.mayChange(v, pathMFA); away != "" {
		redirect(w, away)
		return nil
	}
	e := Enrolment{Name: r.PostForm.Get("name"), First: len(v.held.Factors) == 0,
		Proof: Proof{Kind: FactorKind(r.PostForm.Get("kind")), Value: r.PostForm.Get("code")}}
	if e.Proof.Kind == Passkey {
		e.Proof.Value = r.PostForm.Get("credential")
	}
	offered, err := s.openCeremony(ctx, v, e.Proof.Kind, true, r.PostForm.Get("kept"))
	var codes []string
	var shown Shown
	if err == nil {
		e.Private = offered.Private
		codes, shown, err = s.factors.Enrol(ctx, s.causeOfVisitor(r, v), v.holder, e)
	}
	if err != nil {
		return s.factorRefused(w, r, v, e.Proof.Kind, err, func(_ int, problem string) error {
			return s.offerPage(w, r, v, e.Proof.Kind, e.Private, problem)
		})
	}
	if ok, err := s.proved(w, r, v, shown); !ok || err != nil {
		return err
	}
	if _, v.back = setsUp(v.back); codes == nil {
		redirect(w, v.back)
		return nil
	}
	return s.codesPage(w, r, v, codes)
}

// changeFactors renames or removes a factor, or makes new recovery codes.
func (s *Service) changeFactors(w http.ResponseWriter, r *http.Request, v *visitor, do string) error {
	ctx, cause, id := r.Context(), s.causeOfVisitor(r, v), r.PostForm.Get("factor")
	if do == "rename" {
		if err := s.factors.Rename(ctx, cause, v.holder, id, r.PostForm.Get("name")); err != nil {
			return err
		}
		redirect(w, pathMFA)
		return nil
	}
	if away := s.mayChange(v, pathMFA); away != "" {
		redirect(w, away)
		return nil
	}
	switch do {
	case "remove":
		t, ok := s.tenants.ByID(v.holder.Tenant)
		if err := s.factors.Remove(ctx, cause, v.holder, id, !ok || t.Settings.SecondFactor.Asked(), s.mayKeep(v)); err != nil {
			return err
		}
		redirect(w, pathMFA)
		return nil
	case "codes":
		codes, err := s.factors.RenewCodes(ctx, cause, v.holder)
		if err != nil {
			return err
		}
		return s.codesPage(w, r, v, codes)
	}
	return fault.New(fault.Invalid, "nothing-chosen", "The form does not say what to do. Go back and try again.")
}

// factorRefused writes down that a factor does not count, and shows the page again,
// with what was wrong. One try too many is answered with when the next one counts.
func (s *Service) factorRefused(w http.ResponseWriter, r *http.Request, v *visitor, kind FactorKind, err error, again func(status int, problem string) error) error {
	status, problem := http.StatusForbidden, ""
	reason, message, say := "", "", words.For(r)
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		reason, message, problem = string(refusal.Reason), refusal.Message, say.Say(factorLead(refusal.Reason))
	} else if f, ok := errors.AsType[*fault.Fault](err); ok && (f.Kind == fault.TooMany || f.Kind == fault.Invalid || f.Kind == fault.Denied || f.Kind == fault.Conflict) {
		reason, message, problem, status = f.Code, f.Detail, say.Tell(f.Sentence()), httpkit.Status(f.Kind)
		if f.Kind == fault.TooMany {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
		}
	} else {
		return err
	}
	e := s.event(r, audit.FactorRefused, audit.Refused, tenants.Connection{})
	cause := s.causeOfVisitor(r, v)
	e.Actor, e.Session, e.Device, e.Connection = cause.Actor, cause.Session, cause.Device, cause.Connection
	e.Reason, e.Message, e.Details = reason, message, map[string]string{"kind": string(kind)}
	e.Target = audit.Target{Kind: "user", ID: string(v.holder.User), Name: v.holder.Name}
	if kind != TOTP && kind != Passkey && kind != RecoveryCode {
		e.Details = nil
	}
	receipt, recordErr := s.refusals.Record(r.Context(), e)
	if recordErr != nil {
		return recordErr
	}
	v.facts = []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(e.RequestID)}}
	s.log.InfoContext(r.Context(), "refused", "event", e.Type, "request_id", e.RequestID, "tenant", e.Tenant, "reason", reason, "error", err)
	return again(status, problem)
}

// hidden are the fields that keep a form with its visit.
type hidden struct {
	Action  string
	Step    string
	Back    string // "" unless something waits
	Problem string
}

func (v *visitor) hidden(problem string) hidden {
	h := hidden{Action: pathMFA, Step: v.step, Problem: problem}
	if v.stepUp {
		h.Back = v.back
	}
	return h
}

// at is the address of this page with a parameter more.
func (v *visitor) at(add FactorKind) string {
	q := url.Values{paramAdd: {string(add)}}
	if v.step != "" {
		q.Set(paramStep, v.step)
	}
	if v.stepUp {
		q.Set("return_to", v.back)
	}
	return pathMFA + "?" + q.Encode()
}

// askPage asks for one of the factors that there are.
func (s *Service) askPage(w http.ResponseWriter, r *http.Request, v *visitor, status int, problem string) error {
	data := struct {
		hidden

		App, Recovery, Passkey bool
		Options, Kept          string
		Elsewhere              []string
	}{hidden: v.hidden(problem), App: v.held.has(TOTP), Recovery: v.held.RecoveryCodes > 0}
	if v.held.has(Passkey) {
		asked, err := s.factors.Ask(r.Context(), v.holder)
		switch {
		case err == nil:
			data.Passkey, data.Options = true, string(asked.Options)
			if data.Kept, err = s.keepCeremony(r.Context(), v, Passkey, false, asked.Private); err != nil {
				return err
			}
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Conflict):
			for _, f := range v.held.Factors {
				if f.Kind == Passkey {
					data.Elsewhere = append(data.Elsewhere, f.Host)
				}
			}
		default:
			return err
		}
	}
	content, err := body(r, "factor-ask.html", data)
	if err != nil {
		return err
	}
	s.page(w, r, httpkit.Page{Status: status, Title: "Show your second factor", Passkeys: data.Passkey, Body: content,
		Lead:  "Your sign-in service knows you. One more proof is needed that it is you.",
		Links: []httpkit.Link{s.wayOut(v)}, Facts: v.facts})
	return nil
}

func (s *Service) wayOut(v *visitor) httpkit.Link {
	if v.live == nil {
		return httpkit.Link{Text: "Sign in as somebody else", Href: pathLogin}
	}
	return httpkit.Link{Text: "Back to the app", Href: "/"}
}

// choosePage is for somebody who has no factor and needs one.
func (s *Service) choosePage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	content, err := body(r, "factor-choose.html", struct{ Passkey, App string }{v.at(Passkey), v.at(TOTP)})
	if err != nil {
		return err
	}
	s.page(w, r, httpkit.Page{Title: "Set up a second factor", Body: content, Links: []httpkit.Link{s.wayOut(v)},
		Lead: "This needs a second proof that it is you, and you have none yet. Choose what it shall be."})
	return nil
}

// offerPage has somebody add a factor; again is what was kept of an offer that is
// shown once more.
func (s *Service) offerPage(w http.ResponseWriter, r *http.Request, v *visitor, kind FactorKind, again []byte, problem string) error {
	offer, err := s.factors.Offer(r.Context(), v.holder, kind, again)
	if err != nil {
		return err
	}
	kept, err := s.keepCeremony(r.Context(), v, kind, true, offer.Private)
	if err != nil {
		return err
	}
	page := httpkit.Page{Title: "Add a passkey", Lead: "Your browser asks for your finger, your face or a PIN. Nothing of that leaves your device.",
		Passkeys: true, Links: []httpkit.Link{s.wayOut(v)}, Facts: v.facts}
	name := "factor-passkey.html"
	if kind == TOTP {
		name, page.Passkeys, page.Inline = "factor-app.html", false, true
		page.Title, page.Lead = "Add an authenticator app", "Scan the code with the app on your phone, or type the key into it. Then enter the six digits that it shows."
	}
	if problem != "" {
		page.Status = http.StatusForbidden
	}
	page.Body, err = body(r, name, struct {
		hidden

		Options, Kept, Key string
		QR, Link           template.URL
	}{v.hidden(problem), string(offer.Options), kept, offer.Key,
		template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(offer.QR)), // #nosec G203 -- our own image
		template.URL(offer.URL)}) // #nosec G203 -- made by our own code, with all values escaped
	if err != nil {
		return err
	}
	s.page(w, r, page)
	return nil
}

// codesPage shows recovery codes, this once.
func (s *Service) codesPage(w http.ResponseWriter, r *http.Request, v *visitor, codes []string) error {
	content, err := body(r, "factor-codes.html", codes)
	if err != nil {
		return err
	}
	s.page(w, r, httpkit.Page{Title: "Your recovery codes", Body: content, Links: []httpkit.Link{{Text: "I have kept them: go on", Href: v.back}},
		Lead: "Each of these lets you in once, if you lose your other factors. They are shown only now: print them, or keep them where you keep passwords."})
	return nil
}

// factorsPage lists what somebody has.
func (s *Service) factorsPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	t, ok := s.tenants.ByID(v.holder.Tenant)
	content, err := body(r, "factors.html", struct {
		hidden

		Factors      []Factor
		Codes        int
		Keep         bool
		Passkey, App string
	}{v.hidden(""), v.held.Factors, v.held.RecoveryCodes, (!ok || t.Settings.SecondFactor.Asked()) && len(v.held.Factors) == 1, v.at(Passkey), v.at(TOTP)})
	if err != nil {
		return err
	}
	lead := "With these you prove that it is you, beside your sign-in service."
	if len(v.held.Factors) == 0 {
		lead = "You have none yet. With one, nobody gets in by your password alone."
	}
	links := []httpkit.Link{{Text: "Back to the app", Href: "/"}, {Text: "Your devices", Href: pathDevices}}
	has, err := s.hasPassword(r.Context(), v)
	if err != nil {
		return err
	}
	if has {
		links = append(links, httpkit.Link{Text: "Change your password", Href: PathPassword})
	}
	s.page(w, r, httpkit.Page{Title: "Your second factors", Lead: lead, Body: content, Links: links})
	return nil
}
