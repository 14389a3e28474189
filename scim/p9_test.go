package scim_test

import (
	"sync"
	"testing"

	"gatehouse/directory"
	"gatehouse/identity"
)

// stream is an open connection of a session.
type stream struct {
	ended chan struct{}
	once  sync.Once
}

func (s *stream) Terminate(string) { s.once.Do(func() { close(s.ended) }) }

func TestP9_SessionsAreOverWhenTheAnswerIsSent(t *testing.T) {
	b := newBench(t)
	for name, end := range map[string]func(t *testing.T, id string){
		"Okta deactivates": func(t *testing.T, id string) {
			b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"active":false}}`)).wants(200)
		},
		"Entra deactivates": func(t *testing.T, id string) {
			b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"Replace","path":"active","value":"False"}`)).wants(200)
		},
		"replaced as inactive": func(t *testing.T, id string) {
			b.do(t, "PUT", "/Users/"+id, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+id+`","active":false}`).wants(200)
		},
		"deleted": func(t *testing.T, id string) { b.do(t, "DELETE", "/Users/"+id, "").wants(204) },
	} {
		t.Run(name, func(t *testing.T) {
			id, bystander := b.user(t, "person-"+string(identity.NewUserID()), ""), b.user(t, "bystander-"+string(identity.NewUserID()), "")
			first, second, other := b.signIn(t, id), b.signIn(t, id), b.signIn(t, bystander)
			live, err := b.sessions.Find(t.Context(), b.acme.id, first)
			must(t, err)
			open := &stream{ended: make(chan struct{})}
			leave, ok := live.Enter(open)
			if !ok {
				t.Fatal("not let in")
			}
			var wg sync.WaitGroup
			wg.Go(func() { <-open.ended; leave() })
			end(t, id)
			select {
			case <-open.ended:
			default:
				t.Error("the connection was still open when the answer came")
			}
			wg.Wait()
			if b.signedIn(t, first) || b.signedIn(t, second) {
				t.Error("still signed in")
			}
			if !b.signedIn(t, other) {
				t.Error("somebody else was signed out")
			}
		})
	}
}

func TestP9_APersonMadeInactiveCannotSignIn(t *testing.T) {
	b := newBench(t)
	b.user(t, "idle@acme.example", `,"active":false`)
	_, _, err := b.directory.SignIn(t.Context(), system, b.acme.id, directory.SignIn{Connection: "con_1", Subject: "s",
		Email: "idle@acme.example", EmailVerified: true, LinkByEmail: true, CreateMissing: true})
	if err == nil {
		t.Fatal("signed in")
	}
}
