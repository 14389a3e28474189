package authn

import (
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// TestEveryCheckOfAStepIsNeeded: each refuses what all of the others let through.
func TestEveryCheckOfAStepIsNeeded(t *testing.T) {
	now := time.Now()
	mine := row{browser: hash("mine"), connection: "con_idp", expires: store.Millis(now.Add(time.Second))}
	type attempt struct {
		row        row
		browser    string
		connection identity.ConnectionID
	}
	refused := func(a attempt) (by []string) {
		for _, c := range stepChecks {
			if c.refuse(a.row, now, a.browser, a.connection) != nil {
				by = append(by, c.name)
			}
		}
		return by
	}
	old := mine
	old.expires = store.Millis(now)
	if by := refused(attempt{mine, "mine", "con_idp"}); by != nil {
		t.Fatalf("the control is refused: %v", by)
	}
	attacks := map[string][]attempt{
		"age":        {{old, "mine", "con_idp"}},
		"browser":    {{mine, "another", "con_idp"}, {mine, "", "con_idp"}},
		"connection": {{mine, "mine", "con_other"}, {mine, "mine", ""}},
	}
	for _, c := range stepChecks {
		if len(attacks[c.name]) == 0 {
			t.Errorf("nothing shows that the check of the %s is needed", c.name)
		}
		for _, a := range attacks[c.name] {
			if by := refused(a); len(by) != 1 || by[0] != c.name {
				t.Errorf("%s: refused by %v", c.name, by)
			}
		}
	}
}
