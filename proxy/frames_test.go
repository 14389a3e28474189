package proxy

import (
	"testing"
)

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 0x01, 'a', 0x88, 0x00}, uint8(1))
	f.Add([]byte{0x82, 126, 0, 3, 'a', 'b', 'c', 0x81, 0x80, 1, 2, 3, 4}, uint8(3))
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'a'}, uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		var whole, pieces frameTracker
		whole.advance(raw)
		for rest := raw; len(rest) > 0; {
			n := min(len(rest), int(step)%7+1)
			pieces.advance(rest[:n])
			rest = rest[n:]
		}
		if whole.between() != pieces.between() || whole.left != pieces.left {
			t.Fatalf("in one piece %+v, in several %+v", whole, pieces)
		}
		if !whole.between() && !whole.lost && len(raw) == 0 {
			t.Fatal("inside a frame before its first byte")
		}
	})
}
