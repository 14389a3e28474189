package proxy

import "encoding/binary"

// frameTracker follows the frames of a WebSocket (RFC 6455 §5.2) as their bytes
// go by, only to know whether a frame of ours may be put between two of them.
type frameTracker struct {
	head [14]byte // of the frame whose head is coming in
	have int      // bytes of it so far
	left uint64   // bytes of payload still to come
	lost bool     // these are no frames
}

// advance takes the next bytes.
func (t *frameTracker) advance(p []byte) {
	for len(p) > 0 && !t.lost {
		if t.left > 0 {
			n := min(uint64(len(p)), t.left)
			t.left -= n
			p = p[n:]
			continue
		}
		t.head[t.have] = p[0]
		t.have++
		p = p[1:]
		if t.have == t.headSize() {
			t.left = t.payload()
			t.have = 0
		}
	}
}

// between reports whether the last byte was the last of a frame.
func (t *frameTracker) between() bool { return !t.lost && t.have == 0 && t.left == 0 }

// headSize is how long the head is, as far as it can be known yet.
func (t *frameTracker) headSize() int {
	if t.have < 2 {
		return 2
	}
	size := 2
	switch t.head[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if t.head[1]&0x80 != 0 {
		size += 4
	}
	return size
}

func (t *frameTracker) payload() uint64 {
	switch n := t.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(t.head[2:]))
	case 127:
		size := binary.BigEndian.Uint64(t.head[2:])
		t.lost = size>>63 != 0 // the most significant bit must be 0
		return size
	default:
		return uint64(n)
	}
}

// closeFrame is an unmasked closing frame, as servers send them (RFC 6455
// §5.5.1).
func closeFrame(code int) []byte {
	reason := "signed out"
	if code == closeRestart {
		reason = "service restart"
	}
	frame := []byte{0x88, byte(2 + len(reason))}               // #nosec G115 -- one of two short reasons
	frame = binary.BigEndian.AppendUint16(frame, uint16(code)) // #nosec G115 -- one of two constants
	return append(frame, reason...)
}
