package app

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// maxSeen bounds the list; the oldest go first.
const maxSeen = 100_000

// request is what the app remembers of a request. Path is as it came, without
// the query.
type request struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	RequestID string `json:"request_id"`
	Tenant    string `json:"tenant"`
	User      string `json:"user"`
}

// seen is a ring of the last requests.
type seen struct {
	mu   sync.Mutex
	ring []request
	next int // where the next goes, once the ring is full
}

func (s *seen) add(r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	entry := request{Method: r.Method, Path: path, RequestID: r.Header.Get(requestIDHeader),
		Tenant: r.Header.Get("X-Gatehouse-Tenant"), User: r.Header.Get("X-Gatehouse-User")}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, entry)
		return
	}
	s.ring[s.next] = entry
	s.next = (s.next + 1) % maxSeen
}

// all gives the requests, oldest first.
func (s *seen) all() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(append(make([]request, 0, len(s.ring)), s.ring[s.next:]...), s.ring[:s.next]...)
}

func (s *seen) list(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(s.all())
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the reader may be gone
}

// writeJSON answers with a value as JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the client may be gone
}

// readJSON reads a small JSON body.
func readJSON(r *http.Request, v any) error {
	return json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(v)
}
