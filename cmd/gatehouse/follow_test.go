package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// readMessages reads a stream to its end.
func readMessages(text string) (all []message, retry time.Duration, err error) {
	s := newMessages(strings.NewReader(text))
	for {
		m, err := s.next()
		if err != nil {
			return all, s.retry, err
		}
		all = append(all, m)
	}
}

func TestMessagesOfAnEventStream(t *testing.T) {
	all, retry, err := readMessages("retry: 1500\n\n: still here\n\nevent: event\r\nid: evt_1\r\ndata: {\r\ndata:}\r\n\r\nretry: soon\nevent: other\ndata: x\n\nevent: event\ndata: cut o")
	if !errors.Is(err, io.EOF) || retry != 1500*time.Millisecond || len(all) != 2 ||
		all[0].name != "event" || string(all[0].data) != "{\n}" || all[1].name != "other" || string(all[1].data) != "x" {
		t.Errorf("%q, retry %s, %v", all, retry, err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"line":    "data: " + strings.Repeat("x", 2*maxMessage),
		"message": strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxMessage/500),
	} {
		if _, _, err := readMessages(text); !errors.Is(err, errNoStream) {
			t.Errorf("a %s without end: %v", name, err)
		}
	}
}

// FuzzMessages: what is read, written again as a stream, reads the same.
func FuzzMessages(f *testing.F) {
	f.Add("event: event\nid: evt_1\ndata: {}\n\n")
	f.Add("event: x\r\r\ndata: y\r\r\n\n")
	f.Add("data: a\ndata: b\r\n\r\n:x\n\ndata\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, _, _ := readMessages(text)
		var again strings.Builder
		for _, m := range all {
			again.WriteString("event: " + m.name + "\r\n")
			for line := range strings.SplitSeq(string(m.data), "\n") {
				again.WriteString("data: " + line + "\r\n")
			}
			again.WriteString("\r\n")
		}
		same, _, err := readMessages(again.String())
		if !errors.Is(err, io.EOF) || len(same) != len(all) {
			t.Fatalf("%d messages, and then %d, %v", len(all), len(same), err)
		}
		for i := range all {
			if all[i].name != same[i].name || string(all[i].data) != string(same[i].data) {
				t.Errorf("%q, and then %q", all[i], same[i])
			}
		}
	})
}
