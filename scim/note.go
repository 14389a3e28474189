package scim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/scim/recorder"
	"gatehouse/scim/resource"
)

// Recorder keeps what clients send. It must not keep a request waiting: finish, which
// gives the request, is called later, at most once, by another goroutine. size is how many bytes
// are held until then; a stranger is who has shown no good token.
type Recorder interface {
	Keep(tenant identity.TenantID, size int, stranger bool, finish func() recorder.Request)
}

// note is taken of one request on its way, for the recorder. All of it may be asked of a
// nil note, of which nothing comes.
type note struct {
	recorder Recorder
	request  *http.Request
	gate     *httpkit.Request
	began    time.Time
	took     time.Duration
	sent     head
	answered head
	status   int
	failure  scimerrors.ScimError // zero: none

	caller   *identity.Principal
	kind     *resource.Kind
	id       string // of the resource that the address names
	named    []string
	lines    func(*recorder.Secrets) []string // what was understood
	holds    int                              // bytes that are held for that, about
	effects  []directory.Effect
	more     []string // whom the effects concern that there is no room for
	failures int      // of the operations in it
}

// note begins to take note of a request, of which the one that it gives is to be served.
func (s *Service) note(r *http.Request) (*note, *http.Request) {
	if s.recorder == nil {
		return nil, r
	}
	n := &note{recorder: s.recorder, gate: httpkit.RequestFrom(r.Context()), began: time.Now(), sent: head{limit: recorder.MaxBeginning}, answered: head{limit: recorder.MaxAnswer}}
	r = r.WithContext(directory.WithWitness(r.Context(), n.witness))
	if n.sent.ended = r.Body == nil || r.ContentLength == 0; !n.sent.ended {
		r.Body = &overheard{r.Body, &n.sent}
	}
	n.request = r
	return n, r
}

// body notes a body that was read whole. It is held as it is: nobody writes on it.
func (n *note) body(data []byte) {
	if n != nil {
		n.sent.text = data
	}
}

// head is the beginning of what passes.
type head struct {
	text  []byte
	size  int64
	limit int
	ended bool // there is no more
}

func (h *head) Write(p []byte) (int, error) {
	h.size += int64(len(p))
	h.text = append(h.text, p[:min(len(p), h.limit-len(h.text))]...)
	return len(p), nil
}

// overheard is a body whose beginning is kept as it is read.
type overheard struct {
	io.ReadCloser
	head *head
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	_, _ = o.head.Write(p[:n]) // it cannot fail
	o.head.ended = o.head.ended || errors.Is(err, io.EOF)
	return n, err
}

// answer writes the answer, keeps it, and hands on what was noted.
func (n *note) answer(w http.ResponseWriter, answer *reply) {
	if n == nil {
		answer.write(w)
		return
	}
	answered := time.Now()
	n.overhear()
	waited := time.Since(answered)
	answer.write(&answering{w, &n.answered})
	n.took = time.Since(n.began) - waited
	n.keep(answer)
}

// awaited is how much of a body that nobody has read net/http itself waits for before it
// sends an answer of HTTP/1.1, to keep the connection.
const awaited = 256 << 10

// overhear reads what nobody has read of a body that is waited for anyway: what was
// refused before it was read is what one wants to see, a body of the wrong type. Nothing is
// noted that a stranger sends; and who waits to be asked for it (RFC 9110 §10.1.1) is not.
func (n *note) overhear() {
	r := n.request
	if n.caller != nil && !n.sent.ended && n.sent.size == 0 && r.ProtoMajor == 1 && r.ContentLength <= awaited && r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, recorder.MaxBeginning+1) // where it fails, net/http ends the connection
	}
}

type answering struct {
	http.ResponseWriter
	head *head
}

func (a *answering) Write(p []byte) (int, error) {
	_, _ = a.head.Write(p)
	return a.ResponseWriter.Write(p)
}

// keep hands on what was noted, once the answer is written.
func (n *note) keep(answer *reply) {
	if n == nil {
		return
	}
	n.status, n.id = answer.status, cmp.Or(n.id, answer.id)
	// Of the answer no more is held than what it tells of.
	switch body := answer.body.(type) {
	case scimerrors.ScimError:
		n.failure = body
	case resource.Object:
		n.names(body)
	}
	if r := n.request; r.ContentLength == n.sent.size {
		n.sent.ended = true
	} else if r.ContentLength > n.sent.size {
		n.sent.size = r.ContentLength // there was more than was read
	}
	size := len(n.sent.text) + len(n.answered.text) + n.holds
	for _, e := range n.effects {
		for _, u := range []*directory.User{e.UserBefore, e.UserAfter} {
			if u != nil {
				size += len(u.Attributes) + 256
			}
		}
		size += 100 * (len(e.Joined.First) + len(e.Left.First))
	}
	n.recorder.Keep(n.gate.Tenant, size, n.caller == nil, n.finish)
}

// from notes who has sent it, and what the address names.
func (n *note) from(caller *identity.Principal, e *endpoint, id string) {
	if n == nil {
		return
	}
	if n.caller = caller; e != nil {
		n.kind, n.id = e.kind, id
	}
}

// witness is told of each change ([directory.WithWitness]).
func (n *note) witness(e directory.Effect) {
	if u := e.UserAfter; u != nil { // which is the client's to write on
		after := *u
		e.UserAfter = &after
	}
	if g := e.GroupAfter; g != nil {
		after := *g
		after.Members = nil
		e.GroupAfter = &after
	}
	if len(n.effects) == recorder.MaxChanges {
		n.more = append(n.more, subject(&e)) // a few of each operation
		return
	}
	n.effects = append(n.effects, e)
}

// decoded is about how many times as large a body is once it is decoded.
const decoded = 4

// names notes what somebody is called in a body, however little else it makes sense.
func (n *note) names(body map[string]any) {
	if n == nil {
		return
	}
	for _, name := range []string{"userName", "displayName", "externalId"} {
		v, _ := resource.Member(body, name)
		if text := text(v); text != "" && len(n.named) < 100 {
			n.named = append(n.named, text)
		}
	}
}

// resource notes a resource as it was understood.
func (n *note) resource(res resource.Object) {
	if n != nil {
		n.holds = decoded * int(n.sent.size)
		n.lines = func(s *recorder.Secrets) []string { return resourceLines(s, res) }
	}
}

// steps notes a PATCH.
func (n *note) steps(k *resource.Kind, patch resource.Patch) {
	if n != nil {
		n.holds = decoded * int(n.sent.size)
		n.lines = func(s *recorder.Secrets) []string { return patchLines(s, patch.Steps(k)) }
	}
}

// list notes what a list is asked for.
func (n *note) list(query url.Values) {
	if n != nil {
		n.named = append(n.named, query.Get("filter"))
		n.lines = func(s *recorder.Secrets) []string { return listLines(s, query) }
	}
}

// operations notes what became of each operation of a Bulk.
func (n *note) operations(j *job) {
	if n == nil {
		return
	}
	n.failures = j.failed
	lines := make([]string, len(j.operations))
	for i, o := range j.operations {
		lines[i] = recorder.Cut(o.line(i+1), recorder.MaxLine)
		n.holds += len(lines[i])
	}
	n.lines = func(s *recorder.Secrets) []string {
		for i := range lines {
			lines[i] = s.Text(lines[i])
		}
		return lines
	}
}

// headers are the fields that what becomes of a request goes by, beside who sends it.
var headers = []string{"Content-Type", "Content-Encoding", "If-Match", "If-None-Match"}

// finish gives the request as it is kept, or says that it cannot: nobody is there to stop
// a panic of it, which may hold what was sent, so that its type is logged alone.
func (n *note) finish() (kept recorder.Request) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("what a provisioning client has sent cannot be kept", "request_id", n.gate.ID, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			kept = recorder.Request{ID: n.gate.ID, Time: n.began, Took: n.took, Method: n.request.Method, Status: n.status, Failed: n.status >= http.StatusBadRequest,
				Details: recorder.Details{Detail: "This request was served, but what came of it could not be kept, by a fault of the gateway. Its log says more."}}
			if n.caller != nil {
				kept.Token, kept.TokenName = n.caller.ID, n.caller.Name
			}
		}
	}()
	return n.whole()
}

// whole gives all that is kept of the request.
func (n *note) whole() recorder.Request {
	r := n.request
	secrets := recorder.NewSecrets(credentials(r.Header)...)
	kept := recorder.Request{ID: n.gate.ID, Time: n.began, Took: n.took, Method: r.Method, Status: n.status, Resource: n.id}
	// The bodies first: what is secret in them is not to be in anything else either.
	d := &kept.Details
	d.Sent = recorder.Text{Text: secrets.Body(n.sent.text), Left: n.sent.size - int64(len(n.sent.text))}
	d.Sent.Unread = !n.sent.ended
	if !utf8.Valid(n.sent.text) && d.Sent.Left == 0 { // what stands there was not sent
		d.Sent.Left = n.sent.size
	}
	d.Answer = recorder.Text{Text: secrets.Body(n.answered.text), Left: n.answered.size - int64(len(n.answered.text))}
	kept.Resource = secrets.Text(kept.Resource)
	kept.Path, d.Query = secrets.Text(r.URL.Path), recorder.Cut(secrets.Query(r.URL.RawQuery), maxKeptQuery)
	d.Agent = recorder.Cut(secrets.Text(r.UserAgent()), recorder.MaxLine)
	d.Header = make(map[string]string)
	for _, name := range headers {
		if value := joined(r.Header, name); value != "" {
			d.Header[name] = recorder.Cut(secrets.Text(value), recorder.MaxLine)
		}
	}
	if n.caller != nil {
		kept.Token, kept.TokenName, d.Caller = n.caller.ID, n.caller.Name, n.caller.Kind
	}
	if n.kind != nil {
		kept.Kind = n.kind.Name
	}
	kept.ScimType, d.Detail = string(n.failure.ScimType), secrets.Text(n.failure.Detail)
	if n.lines != nil {
		for _, line := range n.lines(secrets) {
			if len(d.Understood) == recorder.MaxLines {
				break
			}
			d.Understood = append(d.Understood, recorder.Cut(line, recorder.MaxLine))
		}
	}
	d.Changes = changes(secrets, n.effects)
	kept.Failed, kept.Changed = kept.Status >= http.StatusBadRequest || n.failures > 0, len(d.Changes) > 0
	kept.Name, kept.About = n.about(secrets, kept.Resource)
	return kept
}

// maxKeptQuery is how long the query of an address is that is kept: longer than a filter
// may be.
const maxKeptQuery = 8 << 10

// credentials are what a client has shown, good or not.
func credentials(h http.Header) (shown []string) {
	for _, value := range h.Values("Authorization") {
		scheme, secret, ok := strings.Cut(value, " ")
		if !ok {
			secret = scheme
		}
		shown = append(shown, strings.TrimSpace(secret))
	}
	return shown
}

// about gives what whoever it is about is called, and all by which it is found.
func (n *note) about(s *recorder.Secrets, id string) (name string, about []string) {
	add := func(texts ...string) {
		for _, text := range texts {
			if text != "" {
				about = append(about, s.Text(text))
			}
		}
	}
	add(id)
	for _, e := range n.effects {
		for _, u := range []*directory.User{e.UserAfter, e.UserBefore} {
			if u != nil {
				name = cmp.Or(name, u.UserName)
				add(string(u.ID), u.UserName, u.DisplayName, u.ExternalID, u.Email)
			}
		}
		for _, g := range []*directory.Group{e.GroupAfter, e.GroupBefore} {
			if g != nil {
				name = cmp.Or(name, g.DisplayName)
				add(string(g.ID), g.DisplayName, g.ExternalID)
			}
		}
	}
	add(n.named...)
	for _, e := range n.effects {
		for _, m := range append(e.Joined.First[:len(e.Joined.First):len(e.Joined.First)], e.Left.First...) {
			_, id := memberOf(m)
			add(id, m.Display)
		}
	}
	add(n.more...)
	if name == "" && len(n.named) > 0 {
		name = n.named[0]
	}
	return s.Text(name), about
}
