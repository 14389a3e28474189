package words_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/internal/words"
)

func language(t *testing.T, accepted ...string) *words.Language {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Accept-Language"] = accepted
	return words.For(r)
}

func TestTheReadersLanguageIsFound(t *testing.T) {
	for _, c := range []struct {
		accepted []string
		want     string
	}{
		{nil, "en"},
		{[]string{"de"}, "de"},
		{[]string{"de-AT,en;q=0.5"}, "de"},
		{[]string{"DE-ch"}, "de"},
		{[]string{"en-GB,de;q=0.9"}, "en"},
		{[]string{"fr,de;q=0.4"}, "de"},
		{[]string{"fr", "de"}, "de"},
		{[]string{"fr"}, "en"},
		{[]string{"de;q=0"}, "en"},
		{[]string{"*"}, "en"},
		{[]string{"nonsense;q=x"}, "en"},
		{[]string{"de," + strings.Repeat("a", 600)}, "en"},
		{[]string{"de-" + strings.Repeat("-", 400)}, "en"},
	} {
		if got := language(t, c.accepted...).Tag(); got != c.want {
			t.Errorf("%q is answered in %s, want %s", c.accepted, got, c.want)
		}
	}
}

func TestSentencesAreFilledIn(t *testing.T) {
	german := language(t, "de")
	inner := fault.Sentence{Format: "%s needs a client_secret", Args: []any{"client_secret_basic"}}
	for _, c := range []struct {
		got, want string
	}{
		{german.Say("Sign out"), "Abmelden"},
		{words.English.Say("Sign out"), "Sign out"},
		{german.Say("Nobody has translated 100% of this"), "Nobody has translated 100% of this"},
		{german.Say("Sign out %s", "100%"), "100% abmelden"},
		{german.Tell(fault.New(fault.Invalid, "x", "The connection is not right: %s.", inner).Sentence()),
			"Die Verbindung ist nicht richtig: client_secret_basic braucht ein client_secret."},
		{fault.New(fault.Invalid, "x", "The connection is not right: %s.", inner).Detail,
			"The connection is not right: client_secret_basic needs a client_secret."},
		{german.Tell((&fault.Fault{Detail: "100% of it"}).Sentence()), "100% of it"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTimesAreInTheLanguagesForm(t *testing.T) {
	at := time.Date(2026, time.March, 5, 23, 4, 0, 0, time.FixedZone("", -3600))
	for l, want := range map[*words.Language]string{words.English: "6 March 2026, 00:04 UTC", language(t, "de"): "6. März 2026, 00:04 UTC"} {
		if got := l.When(at); got != want {
			t.Errorf("%s: %q, want %q", l.Tag(), got, want)
		}
	}
}

// What is there twice would win or lose by the order of the files.
func TestEverySentenceIsTranslatedOnce(t *testing.T) {
	for _, l := range words.Spoken()[1:] {
		files, err := filepath.Glob(l.Tag() + "/*.json")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", l.Tag(), err)
		}
		where := map[string]string{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(strings.NewReader(string(text)))
			for i := -1; ; i++ {
				token, err := d.Token()
				if err != nil {
					break
				}
				key, ok := token.(string)
				if !ok || i%2 != 0 {
					continue
				}
				if where[key] != "" {
					t.Errorf("%q stands in %s and in %s", key, where[key], file)
				}
				where[key] = file
			}
		}
		if len(where) != len(l.Keys()) {
			t.Errorf("%d sentences in the files, %d known", len(where), len(l.Keys()))
		}
	}
}

func FuzzFor(f *testing.F) {
	for _, seed := range []string{"de-DE,de;q=0.9,en;q=0.8", "*", "", "en;q=1.1", "de-u-co-phonebk", "i-klingon", "de-x-a-b", ",,,", "de;q=0.0001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accepted string) {
		if tag := language(t, accepted).Tag(); tag != "en" && tag != "de" {
			t.Errorf("%q is answered in %q", accepted, tag)
		}
	})
}
