package api

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Bounds of what is remembered for Idempotency-Key: enough for a program that
// retries, too little for one that wants to fill the memory.
const (
	answersKept      = 1024
	answersPerTenant = 256
	answersPerUser   = 64
	answerBytes      = 64 << 10
	answerLifetime   = time.Hour
	maxKeyLength     = 128
)

// answerKey names one POST of one caller; another caller's key is another one.
type answerKey struct {
	tenant    identity.TenantID
	kind      identity.Kind
	caller    string
	operation string
	key       string
}

type answer struct {
	key      answerKey
	input    [sha256.Size]byte // of path and body
	made     time.Time
	finished bool
	withheld bool // it held a secret, which was given once
	status   int
	header   http.Header
	body     []byte
}

// answers remembers what POSTs with an Idempotency-Key were answered, so that
// a retry after a lost answer does nothing twice. It is the memory of one node:
// after a restart a retry is a new request. Oldest go first, the caller's own
// before others', and those of the tenant with the most before other tenants';
// a request that is under way never goes.
type answers struct {
	mu      sync.Mutex
	byKey   map[answerKey]*list.Element
	order   *list.List // of *answer, oldest first
	callers map[answerKey]int
	tenants map[identity.TenantID]int
}

func newAnswers() *answers {
	return &answers{byKey: map[answerKey]*list.Element{}, order: list.New(), callers: map[answerKey]int{}, tenants: map[identity.TenantID]int{}}
}

// once makes a POST with an Idempotency-Key happen once
// (draft-ietf-httpapi-idempotency-key-header §2.6).
func (a *API) once(hc huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(hc)
	key := r.Header.Get("Idempotency-Key")
	if r.Method != http.MethodPost || key == "" {
		next(hc)
		return
	}
	op := operationOf(hc)
	kept, err := a.claim(w, r, op.id, key)
	if err != nil {
		replyProblem(w, problemOf(r.Context(), err))
		return
	}
	if kept.withheld {
		replyProblem(w, problemOf(r.Context(), errAnswerWithheld))
		return
	}
	if kept.finished {
		for name, values := range kept.header {
			if _, ours := w.Header()[name]; !ours { // such as the id of this request
				w.Header()[name] = values
			}
		}
		w.Header().Set("Idempotency-Replayed", "true")
		w.WriteHeader(kept.status)
		_, _ = w.Write(kept.body) // the client may be gone; nothing is left to tell it
		return
	}
	recorder := &recorder{ResponseWriter: w, status: http.StatusOK}
	defer func() { a.answers.finish(kept, recorder, op.secret) }()
	next(humago.NewContext(hc.Operation(), r, recorder))
}

// claim reserves the key for this request, or finds the answer that it had.
func (a *API) claim(w http.ResponseWriter, r *http.Request, operation, key string) (*answer, error) {
	if len(key) > maxKeyLength {
		return nil, fault.New(fault.Invalid, "idempotency-key-too-long", "The Idempotency-Key may have 128 characters at most.")
	}
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		panic("api: idempotency before authorisation")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, fault.Wrap(err, fault.TooLarge, "body-too-large", "The request body is larger than this address accepts, or was cut off.")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	input := sha256.Sum256(append([]byte(r.URL.RequestURI()+"\n"), body...))
	return a.answers.claim(answerKey{c.tenant(), c.principal.Kind, c.principal.ID, operation, key}, input)
}

func (s *answers) claim(key answerKey, input [sha256.Size]byte) (*answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.byKey[key]; ok {
		known, _ := element.Value.(*answer)
		switch {
		case time.Since(known.made) > answerLifetime:
			s.drop(element)
		case known.input != input:
			return nil, fault.New(fault.Conflict, "idempotency-key-reused", "This Idempotency-Key was used for another request. Use a new one.")
		case !known.finished:
			return nil, fault.New(fault.Conflict, "idempotency-in-progress", "The request with this Idempotency-Key is still being worked on.")
		default:
			return known, nil
		}
	}
	if !s.makeRoom(key) {
		return nil, errTooManyUnderWay
	}
	fresh := &answer{key: key, input: input, made: time.Now()}
	s.byKey[key] = s.order.PushBack(fresh)
	s.callers[key.owner()]++
	s.tenants[key.tenant]++
	return fresh, nil
}

var errTooManyUnderWay = fault.New(fault.Conflict, "idempotency-too-many", "Too many requests with an Idempotency-Key are being worked on. Try again when they are done.")

var errAnswerWithheld = fault.New(fault.Conflict, "idempotency-answer-withheld",
	"The request with this Idempotency-Key was done already. Its answer held a secret, which is given once: if it did not arrive, delete what was made and make another with a new key.")

// finish keeps the answer, unless it says that nothing was done: then a retry
// may try again. Of an answer with a secret it keeps only that it was given (P6).
func (s *answers) finish(kept *answer, got *recorder, secret bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.byKey[kept.key]
	if !ok || element.Value != kept {
		return // pushed out by newer ones meanwhile
	}
	if got.status >= http.StatusBadRequest || got.overflow || !got.wrote {
		s.drop(element)
		return
	}
	// A finished answer is shared between readers, so it is a value of its own.
	done := *kept
	if secret {
		done.finished, done.withheld = true, true
		element.Value = &done
		return
	}
	done.finished, done.status, done.header, done.body = true, got.status, got.Header().Clone(), got.body.Bytes()
	element.Value = &done
}

// makeRoom forgets old answers where a bound is reached; false if all there are
// requests under way.
func (s *answers) makeRoom(key answerKey) bool {
	owner := key.owner()
	if s.callers[owner] >= answersPerUser && !s.forget(func(k answerKey) bool { return k.owner() == owner }) {
		return false
	}
	if s.tenants[key.tenant] >= answersPerTenant && !s.forget(func(k answerKey) bool { return k.tenant == key.tenant }) {
		return false
	}
	if s.order.Len() < answersKept {
		return true
	}
	largest := key.tenant
	for tenant, n := range s.tenants {
		if n > s.tenants[largest] {
			largest = tenant
		}
	}
	return s.forget(func(k answerKey) bool { return k.tenant == largest })
}

// forget drops the oldest finished answer of those that are meant.
func (s *answers) forget(meant func(answerKey) bool) bool {
	for element := s.order.Front(); element != nil; element = element.Next() {
		if held, ok := element.Value.(*answer); ok && held.finished && meant(held.key) {
			s.drop(element)
			return true
		}
	}
	return false
}

func (s *answers) drop(element *list.Element) {
	held, ok := s.order.Remove(element).(*answer)
	if !ok {
		return
	}
	delete(s.byKey, held.key)
	owner := held.key.owner()
	if s.callers[owner]--; s.callers[owner] <= 0 {
		delete(s.callers, owner)
	}
	if s.tenants[owner.tenant]--; s.tenants[owner.tenant] <= 0 {
		delete(s.tenants, owner.tenant)
	}
}

// owner is the key without what the caller chose.
func (k answerKey) owner() answerKey {
	return answerKey{tenant: k.tenant, kind: k.kind, caller: k.caller}
}

// recorder copies an answer while it is written.
type recorder struct {
	http.ResponseWriter
	status   int
	wrote    bool
	overflow bool
	body     bytes.Buffer
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	r.status, r.wrote = status, true
	r.ResponseWriter.WriteHeader(status)
}

// Write notes the body, up to the bound.
func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	if r.body.Len()+len(p) > answerBytes {
		r.overflow = true
	} else {
		r.body.Write(p)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
