package sessions

import (
	"strings"

	"gatehouse/identity"
)

// maxWords bounds what is remembered of each kind; beyond it the remembering
// begins anew.
const maxWords = 4096

// words keeps one of each text that many sessions of a tenant have in common,
// instead of one per session.
type words struct {
	texts   map[string]string
	methods map[string][]string
}

// share has a session use the texts of others.
func (w *words) share(s *Session) {
	if w.texts == nil || len(w.texts) >= maxWords || len(w.methods) >= maxWords {
		w.texts, w.methods = map[string]string{}, map[string][]string{}
	}
	s.Connection = identity.ConnectionID(w.text(string(s.Connection)))
	s.UserAgent, s.ACR = w.text(s.UserAgent), w.text(s.ACR)
	if len(s.AMR) == 0 {
		return
	}
	key := strings.Join(s.AMR, " ")
	known, ok := w.methods[key]
	if !ok || len(known) != len(s.AMR) {
		w.methods[key], known = s.AMR, s.AMR
	}
	s.AMR = known
}

func (w *words) text(s string) string {
	known, ok := w.texts[s]
	if !ok {
		w.texts[s], known = s, s
	}
	return known
}
