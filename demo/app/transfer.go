package app

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// Bounds of what a caller can ask for.
const (
	maxSlow  = time.Minute
	maxBytes = 4 << 30
)

func ping(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]bool{"pong": true})
}

// slow answers after ?ms= milliseconds.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.ParseUint(r.URL.Query().Get("ms"), 10, 32)
	wait := time.Duration(ms) * time.Millisecond
	if err != nil || wait > maxSlow {
		http.Error(w, "ms is a number of milliseconds, at most 60000", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(wait):
		writeJSON(w, http.StatusOK, map[string]uint64{"waited_ms": ms})
	case <-r.Context().Done():
	}
}

// manyBytes answers with ?n= bytes: the letters a to z, over and over, so that
// a reader can tell whether any is missing.
func manyBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, "n is a number of bytes, at most 4 GiB", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		written, err := w.Write(letters[:min(n, int64(len(letters)))])
		if err != nil {
			return // the client is gone
		}
		n -= int64(written)
	}
}

// letters holds whole alphabets, so that repeating it keeps the order.
var letters = func() []byte {
	text := make([]byte, 26*1024)
	for i := range text {
		text[i] = byte('a' + i%26)
	}
	return text
}()

// echo sends the body back while it arrives.
func echo(w http.ResponseWriter, r *http.Request) {
	// Without it, an HTTP/1 server reads the whole body before the first byte of
	// the answer leaves.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if media := r.Header.Get("Content-Type"); media == "text/plain" || media == "application/json" {
		w.Header().Set("Content-Type", media)
	} else {
		w.Header().Set("Content-Type", "application/octet-stream") // never a page of the sender's making
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.Copy(w, r.Body) // either side may be gone
}
