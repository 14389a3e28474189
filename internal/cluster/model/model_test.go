package model

import (
	"testing"
	"time"
)

// TestP2_NoOrderOfStepsBreaksTheProtocol goes through all of them, with up to two
// faults.
func TestP2_NoOrderOfStepsBreaksTheProtocol(t *testing.T) {
	for name, faults := range map[string]Faults{
		"all is well":            {Apart: 2},
		"SQL comes and goes":     {All: 1, Away: 1, Apart: 1},
		"the server starts anew": {All: 2, Crash: 1, Away: 1},
		"Redis loses its data":   {All: 2, Empty: 1, Away: 1},
		"a replica takes over":   {All: 2, Failover: 1, Away: 1},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			result := Check(Rules{}, faults)
			if len(result.Trace) > 0 {
				t.Error(result)
			}
			t.Logf("%d states in %v", result.States, time.Since(began).Round(time.Millisecond))
		})
	}
}

// TestP2_EveryRuleIsNeeded: without any one of them, there is an order of steps in
// which a revoked session is served. It also shows that the search finds such an
// order.
func TestP2_EveryRuleIsNeeded(t *testing.T) {
	for name, without := range map[string]struct {
		Rules
		Faults
	}{
		"a renewal counts from its answer":                  {Rules{FromAnswer: true}, Faults{}},
		"a silent member is not waited for":                 {Rules{Impatient: true}, Faults{}},
		"a Redis that lost its data is trusted":             {Rules{Trusting: true}, Faults{All: 1, Empty: 1}},
		"who joins verifies nothing":                        {Rules{Unverified: true}, Faults{}},
		"the lease is checked on arrival only":              {Rules{Once: true}, Faults{}},
		"the commit comes after the publication":            {Rules{CommitLast: true}, Faults{}},
		"the outbox is not waited for":                      {Rules{Hasty: true}, Faults{}},
		"a new epoch counts at once":                        {Rules{Unsettled: true}, Faults{All: 1, Failover: 1}},
		"an answer that was overtaken is kept":              {Rules{Overtaken: true}, Faults{All: 1, Crash: 1}},
		"who lives by SQL is forgotten early":               {Rules{Forgetful: true}, Faults{Apart: 1}},
		"who lives by SQL is not waited for":                {Rules{Unaware: true}, Faults{Apart: 1}},
		"a failed question counts long after the last good": {Rules{Stale: true}, Faults{All: 1, Away: 1}},
		"who could not commit does not try again":           {Rules{Trustful: true}, Faults{All: 1, Away: 1, Apart: 1}},
		"who joins does not learn what SQL is owed":         {Rules{Unlisted: true}, Faults{All: 2, Away: 1, Crash: 1}},
		"SQL is believed though it is owed something":       {Rules{Believing: true}, Faults{All: 1, Away: 1, Apart: 1}},
		"who joins an epoch verifies at once":               {Rules{Early: true}, Faults{All: 2, Away: 1, Empty: 1}},
		"SQL is lived by as soon as it is back":             {Rules{Prompt: true}, Faults{All: 1, Away: 1, Apart: 1}},
		"SQL comes and goes and nobody notices (the limit)": {Rules{Unnoticed: true}, Faults{All: 1, Away: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			result := Check(without.Rules, without.Faults)
			if len(result.Trace) == 0 {
				t.Fatal(result)
			}
			t.Log(result)
		})
	}
}
