package throttle

// Kept counts the keys that this node remembers.
func (t *Throttle) Kept() (n int) {
	for i := range t.own {
		t.own[i].mu.Lock()
		n += len(t.own[i].kept)
		t.own[i].mu.Unlock()
	}
	return n
}
