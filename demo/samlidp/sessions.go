package samlidp

import (
	"crypto/rand"
	"net/http"
	"slices"
)

const (
	sessionCookie = "demo_saml_session"
	maxSessions   = 4096
)

// visit is a service at which somebody is signed in, by the names that it was
// told.
type visit struct{ service, nameID, index string }

// sessions are the people that are signed in here, by the browser's cookie.
type sessions map[string][]visit

// enter notes a sign-in. Only this browser's cookie leads back to it.
func (p *Provider) enter(w http.ResponseWriter, r *http.Request, v visit) {
	id := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	var before []visit
	if c, err := r.Cookie(sessionCookie); err == nil {
		before = p.sessions[c.Value]
		delete(p.sessions, c.Value)
	}
	if len(before) > 0 && before[0].nameID != v.nameID {
		before = nil // somebody else's
	}
	if len(p.sessions) >= maxSessions {
		clear(p.sessions) // a demo's way to make room
	}
	p.sessions[id] = append(before, v)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) // #nosec G124 -- plain HTTP on loopback
}

// leave ends the session of a browser and gives where it was signed in.
func (p *Provider) leave(id string) []visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	visits := p.sessions[id]
	delete(p.sessions, id)
	return visits
}

// leaveFrom ends the sessions in which somebody is signed in at a service, and
// gives where else they were: by one session there, or by all if index is "".
func (p *Provider) leaveFrom(left visit) (others []visit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	is := func(v visit) bool {
		return v.service == left.service && v.nameID == left.nameID && (left.index == "" || v.index == left.index)
	}
	for id, visits := range p.sessions {
		if slices.ContainsFunc(visits, is) {
			others = append(others, slices.DeleteFunc(visits, is)...)
			delete(p.sessions, id)
		}
	}
	return others
}
