package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/internal/fault"
	"gatehouse/proxy/upstream"
)

// smallBody is the size, in bytes, below which an answer of known length is
// not worth sending on in parts.
const smallBody = 32 << 10

var (
	errUnproven  = errors.New("proxy: a request came to be forwarded without its permit or receipt")
	errSuspended = fault.New(fault.Denied, "tenant-suspended", "This organisation's access is suspended. Its administrators know more.")
	errSignedOut = fault.New(fault.Unauthenticated, "signed-out", "You have been signed out. Sign in again.")
)

var heads = sync.Pool{New: func() any { return new(upstream.Head) }}

// forward is stage 8. It goes by the proofs and nothing else: a permit for this
// tenant, and the receipt of this very request.
func (g *Gate) forward(v *visit, s *stream, permit authz.Permit, receipt audit.Receipt) error {
	if !permit.Valid(v.tenant.ID) || !receipt.Valid() ||
		receipt.Tenant() != v.tenant.ID || receipt.Request() != v.ID {
		return errUnproven
	}
	x := s.exchange
	defer x.Finish()
	if err := g.attend(v, s, v.caller); err != nil {
		return err
	}
	stop := context.AfterFunc(v.r.Context(), x.Abort)
	defer stop()

	head := heads.Get().(*upstream.Head) //nolint:errcheck // the pool holds nothing else
	defer heads.Put(head)
	request, err := g.compose(v, head, s)
	if err != nil {
		return err
	}
	answer, err := x.Do(v.r.Context(), request)
	switch {
	case s.cutOff() || errors.Is(err, upstream.ErrAborted):
		panic(http.ErrAbortHandler) // revoked, or the client has gone
	case err != nil:
		closeAfterPartialBody(v, x)
		return err
	case answer.Status == http.StatusSwitchingProtocols:
		return g.tunnel(v, x, s, answer)
	}
	if err := g.answer(v, x, s, answer); err != nil {
		// The head is out, so the only honest way to tell is to break off.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// compose renders the request for the app: the line and host that were
// authorised, the client's fields that pass, then ours.
func (g *Gate) compose(v *visit, head *upstream.Head, s *stream) (*upstream.Request, error) {
	r := v.r
	head.Reset(r.Method, r.RequestURI, r.Host)
	hop := hopFields(r.Header["Connection"])
	for name, values := range r.Header {
		if _, named := hop[name]; named || !g.fields.passes(name) {
			continue
		}
		for _, value := range values {
			if value, ok := passed(v, name, value); ok {
				head.Field(name, value)
			}
		}
	}
	block, err := g.identify(v)
	if err != nil {
		return nil, err
	}
	head.Add(block)
	head.Field(g.config.Headers.RequestID, string(v.ID))
	if v.ClientIP.IsValid() {
		head.Field("X-Forwarded-For", v.ClientIP.String())
	}
	head.Field("X-Forwarded-Proto", "https")
	head.Field("X-Forwarded-Host", r.Host)

	request := &upstream.Request{Method: r.Method, Head: head, Stands: s.stands, Upgrade: upgradeOf(r), Interim: s.interim}
	if r.ContentLength != 0 {
		if err := s.fullDuplex(); err != nil {
			return nil, err
		}
		request.Body = s.body(r.Body, v.Limits.BodyBytes, v.Limits.forwardedPace())
		request.Length = r.ContentLength
		request.Interrupt = s.interrupt
		request.Continue = len(r.Header["Expect"]) > 0
	}
	return request, nil
}

func upgradeOf(r *http.Request) string {
	if values := r.Header["Upgrade"]; len(values) == 1 && r.ProtoMajor == 1 {
		for _, line := range r.Header["Connection"] {
			for token := range strings.SplitSeq(line, ",") {
				if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
					return values[0]
				}
			}
		}
	}
	return ""
}

// answer sends the app's answer to the client.
func (g *Gate) answer(v *visit, x *upstream.Exchange, s *stream, a *upstream.Response) error {
	g.copyFields(v.w.Header(), a.Header)
	closeAfterPartialBody(v, x)
	streaming := a.Length < 0 || a.Length > smallBody
	if streaming && isEventStream(a.Header.Get("Content-Type")) {
		g.long.add(s)
		defer g.long.remove(s)
	}
	if err := s.begin(a.Status); err != nil {
		return err
	}
	pause := func() error {
		if !streaming {
			return nil
		}
		return s.pause()
	}
	if _, err := x.CopyBody(s, pause); err != nil {
		return err
	}
	for name, values := range x.Trailer() {
		if g.fields.passes(name) && !hopOrFraming(name) {
			v.w.Header()[http.TrailerPrefix+name] = values
		}
	}
	if v.caller.live != nil {
		// Nothing of the session may reach the client once it has left: what
		// net/http would send after this function returns goes now.
		return s.flush()
	}
	return nil
}

// closeAfterPartialBody ends the client's connection with this answer when its
// body was not read to the end: what is left of it must not be read as the
// next request. A stream of HTTP/2 ends by itself.
func closeAfterPartialBody(v *visit, x *upstream.Exchange) {
	if v.r.ProtoMajor == 1 && !x.BodyRead() {
		v.w.Header().Set("Connection", "close")
	}
}

// copyFields takes over the app's fields but those of its own connection and
// those that are the gate's to set.
func (g *Gate) copyFields(to, from http.Header) {
	hop := hopFields(from["Connection"])
	for name, values := range from {
		if _, named := hop[name]; named || hopOrFraming(name) || strings.HasPrefix(name, "X-Gatehouse-") || name == g.config.Headers.RequestID {
			continue
		}
		if name == "Set-Cookie" {
			if values = appCookies(values); len(values) == 0 {
				continue
			}
		}
		to[name] = values
	}
	if length := from["Content-Length"]; len(length) == 1 {
		to["Content-Length"] = length
	}
	if _, ok := to["Content-Type"]; !ok {
		to["Content-Type"] = nil // keeps net/http from guessing one
	}
}

// hopOrFraming lists what an answer's fields say of the app's connection alone
// (RFC 9110 §7.6.1).
func hopOrFraming(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length":
		return true
	}
	return false
}

func isEventStream(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
}
