package oidc

import (
	"slices"
	"testing"
	"time"
)

func row(generation int64, made time.Time) keyRow {
	return keyRow{generation: generation, public: []byte{byte(generation)}, created: made}
}

func generations(rows []keyRow) (all []int64) {
	for _, r := range rows {
		all = append(all, r.generation)
	}
	return all
}

// TestKeysRollOverWithOverlap: whenever a provider has fetched our keys, the one that
// signs within keyAhead of that is among them, and the one before for keyBehind.
func TestKeysRollOverWithOverlap(t *testing.T) {
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rolled := begun.Add(keyLife)
	rows := []keyRow{row(1, begun), row(2, rolled)}
	for _, c := range []struct {
		at        time.Time
		signs     int64
		published []int64
	}{
		{rolled, 1, []int64{1, 2}},
		{rolled.Add(keyAhead - time.Second), 1, []int64{1, 2}},
		{rolled.Add(keyAhead), 2, []int64{1, 2}},
		{rolled.Add(keyAhead + keyBehind - time.Second), 2, []int64{1, 2}},
		{rolled.Add(keyAhead + keyBehind), 2, []int64{2}},
	} {
		if got := signs(rows, c.at).generation; got != c.signs {
			t.Errorf("%v: %d signs, want %d", c.at, got, c.signs)
		}
		if got := generations(published(rows, c.at)); !slices.Equal(got, c.published) {
			t.Errorf("%v: %v are published, want %v", c.at, got, c.published)
		}
	}
	if got := signs(rows[:1], begun).generation; got != 1 {
		t.Errorf("the first key has to wait: %d", got)
	}
	for at := begun; at.Before(begun.Add(4 * keyLife)); at = at.Add(time.Hour) {
		if at.Sub(rows[len(rows)-1].created) >= keyLife {
			rows = append(rows[len(rows)-1:], row(rows[len(rows)-1].generation+1, at)) // as create does
		}
		known := generations(published(rows, at))
		for _, later := range []time.Duration{0, keyAhead - time.Hour} {
			if s := signs(rows, at.Add(later)).generation; !slices.Contains(known, s) {
				t.Fatalf("%v: %d signs %v later, and %v were published", at, s, later, known)
			}
		}
	}
}
