package audit

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/audit/segment"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
)

func sequence(events []Event, err error) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err != nil && !yield(Event{}, err) {
			return
		}
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestExportJSONLines(t *testing.T) {
	events := []Event{access("/a"), access("/b\nc")}
	var out bytes.Buffer
	if n, err := Export(t.Context(), &out, "jsonl", sequence(events, nil)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var e Event
	if err := json.Unmarshal([]byte(lines[1]), &e); err != nil || e.Path != "/b\nc" || e.Tenant != acme {
		t.Error(err, e)
	}
}

func TestExportCSVIsNoFormula(t *testing.T) {
	e := access("=HYPERLINK(1)")
	e.UserAgent = "+1,\"x\"\n=2"
	e.Message = "＝1"
	e.Details = map[string]string{"via": "a", "matched": "b"}
	var out bytes.Buffer
	if n, err := Export(t.Context(), &out, "csv", sequence([]Event{e}, nil)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	rows := must[[][]string](t)(csv.NewReader(&out).ReadAll())
	if len(rows) != 2 || len(rows[0]) != len(rows[1]) {
		t.Fatal(rows)
	}
	got := make(map[string]string)
	for i, name := range rows[0] {
		got[name] = rows[1][i]
		if strings.IndexAny(rows[1][i], "=+-@\t\r") == 0 {
			t.Errorf("%s: %q is a formula", name, rows[1][i])
		}
	}
	if got["path"] != "'=HYPERLINK(1)" || got["user_agent"] != "'+1,\"x\"\n=2" || got["message"] != "'＝1" || got["details"] != "matched=b; via=a" {
		t.Errorf("%q", got)
	}
}

func TestExportTellsWhatItCouldNotRead(t *testing.T) {
	damaged := errors.New("damaged")
	for _, format := range []string{"jsonl", "csv"} {
		var out bytes.Buffer
		if n, err := Export(t.Context(), &out, format, sequence([]Event{access("/")}, damaged)); n != 1 || !errors.Is(err, damaged) {
			t.Error(n, err)
		}
	}
	if _, err := Export(t.Context(), nil, "xml", nil); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	n := 0
	for e, err := range Filtered(sequence([]Event{access("/a"), access("/b")}, damaged), Filter{Text: "/B"}) {
		if err == nil && e.Path != "/b" {
			t.Error(e)
		}
		n++
	}
	if n != 2 { // one event and the error
		t.Error(n)
	}
}

// With the real key ring: a stopped gateway's files are read with its keys, and
// once the tenant's key is destroyed they still verify and nobody reads them.
func TestP10DestroyedKeysLeaveAProvableUnreadableJournal(t *testing.T) {
	dir := t.TempDir()
	kek := must[keys.KEK](t)(keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true))
	vault := must[keys.Vault](t)(keys.OpenDirVault(filepath.Join(dir, "vault")))
	ring := keys.NewRing(kek, vault)
	if err := ring.Create(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: filepath.Join(dir, "journal"), Node: "node-1", Keys: ring}
	j := must[*Journal](t)(Open(o))
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	reader := must[*Reader](t)(OpenReader(o))
	n := 0
	for e, err := range reader.Read(t.Context(), acme, nil) {
		if err != nil || e.Type != GatewayStarted {
			t.Error(e, err)
		}
		n++
	}
	if n != 1 {
		t.Error(n, "records")
	}
	if err := ring.Destroy(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	for e, err := range reader.Read(t.Context(), acme, nil) {
		if err == nil {
			t.Error("read without a key:", e)
		}
	}
	if report := must[Report](t)(reader.Verify(t.Context(), acme)); len(report.Problems) != 0 || report.Records != 1 || report.Opened != 0 || report.Unopened == "" {
		t.Errorf("%+v", report)
	}
	j = must[*Journal](t)(Open(o))
	_, err := j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted})
	if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "keys-unavailable" {
		t.Errorf("got %v, want keys-unavailable", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if files := must[[]segment.File](t)(segment.List(filepath.Join(o.Dir, string(acme), "node-1"))); len(files) != 1 {
		t.Error(files)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "node-1.lock")); err != nil {
		t.Error(err)
	}
}
