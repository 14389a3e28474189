package google

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

type answers func() string

func (f answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f()))}, nil
}

// A list of very many pages whose tokens are long takes no memory for them.
func TestTokensAreNotKept(t *testing.T) {
	const pages = 4000
	page := 0
	r := &reader{api: "https://google.example", bearer: "x", until: time.Now().Add(time.Hour), now: time.Now, client: &http.Client{Transport: answers(func() string {
		if page++; page == pages {
			return `{"kind":"k"}`
		}
		return fmt.Sprintf(`{"kind":"k","nextPageToken":"%04096d"}`, page)
	})}}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	err := r.list(context.Background(), "x", "k", "items", "id", url.Values{}, func([]json.RawMessage) error {
		if page == pages {
			if now := heap(); now > before+4<<20 {
				t.Errorf("%d KiB are kept", (now-before)>>10)
			}
		}
		return nil
	})
	if err != nil || page != pages {
		t.Fatal(page, err)
	}
}
