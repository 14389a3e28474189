package mfa_test

import (
	"testing"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/internal/fault"
)

// Nothing that is not the answer to this very challenge counts, whatever it looks
// like, and nothing is kept of it. The seeds are true answers to other challenges.
func FuzzPasskeyAnswers(f *testing.F) {
	w := newWorld(f)
	p, _ := w.passkey(ann, "key")
	ask := func() authn.Offer {
		asked, err := w.Ask(f.Context(), ann)
		must(f, err)
		return asked
	}
	offer := func() authn.Offer {
		offered, err := w.Offer(f.Context(), ann, authn.Passkey, nil)
		must(f, err)
		return offered
	}
	f.Add(p.Get(ask().Options))
	f.Add(mfatest.New(f, origin, host).Create(offer().Options))
	for _, seed := range []string{"", "{}", `{"id":"","rawId":"","type":"public-key","response":{}}`, `{"response":{"attestationObject":"oA"}}`} {
		f.Add(seed)
	}
	asked, offered := ask(), offer()
	f.Fuzz(func(t *testing.T, answer string) {
		refused := func(what string, err error) {
			if err == nil || fault.Is(err, fault.Unavailable) || reasonOf(err) == err.Error() {
				t.Fatalf("%s: %v", what, err)
			}
		}
		_, err := w.Verify(t.Context(), ann, asked.Private, authn.Proof{Kind: authn.Passkey, Value: answer})
		refused("shown", err)
		_, _, err = w.Enrol(t.Context(), audit.SystemCause(), ann, authn.Enrolment{Private: offered.Private, Name: "x", Proof: authn.Proof{Kind: authn.Passkey, Value: answer}})
		refused("added", err)
		if held, err := w.Held(t.Context(), acme, ann.User); err != nil || len(held.Factors) != 1 {
			t.Fatalf("%+v, %v", held, err)
		}
	})
}
