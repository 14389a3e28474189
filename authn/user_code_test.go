package authn

import (
	"maps"
	"net/url"
	"strings"
	"testing"
)

func TestUserCodes(t *testing.T) {
	for typed, want := range map[string]string{
		"WDJB-MJHT": "WDJB-MJHT", "wdjbmjht": "WDJB-MJHT", "w d-j b m\u2013j\u2014ht": "WDJB-MJHT", "wdjb\u2010mjht": "WDJB-MJHT",
		"": "", "WDJB-MJH": "", "WDJB-MJHTT": "", "ADJB-MJHT": "", "WDJB-MJH1": "", "\u0174DJB-MJHT": "", "WDJB_MJHT": "",
		strings.Repeat("-", 60) + "WDJBMJHT": "",
	} {
		code, ok := parseUserCode(typed)
		if ok != (want != "") || ok && code.String() != want {
			t.Errorf("%q: %q, %v", typed, code, ok)
		}
	}
	seen := map[rune]int{}
	for range 500 {
		code := newUserCode()
		if again, ok := parseUserCode(code.String()); !ok || again != code {
			t.Fatalf("%q is read as %q", code, again)
		}
		for _, r := range string(code) {
			seen[r]++
		}
	}
	if len(seen) != len(userCodeLetters) {
		t.Errorf("%d letters", len(seen))
	}
}

// FuzzUserCode: what is read as a code is one that we could have made, and reads the
// same in every spelling of ours; what is not read is none.
func FuzzUserCode(f *testing.F) {
	for _, seed := range []string{"WDJB-MJHT", "wdjb mjht", "", "--------", "ſDJBMJHT", "WDJB\x00MJHT", "\xff\xfe", strings.Repeat("B", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := parseUserCode(typed)
		if !ok {
			if code != "" {
				t.Errorf("%q was refused as %q", typed, code)
			}
			return
		}
		if len(code) != userCodeLength || strings.Trim(string(code), userCodeLetters) != "" {
			t.Errorf("%q is read as %q", typed, code)
		}
		for _, spelling := range []string{code.String(), string(code), strings.ToLower(code.String())} {
			if again, ok := parseUserCode(spelling); !ok || again != code {
				t.Errorf("%q is read as %q, %v", spelling, again, ok)
			}
		}
	})
}

// FuzzOAuthForm: what is read has every field once, with a value, in plain text, and
// reads the same when it is written anew.
func FuzzOAuthForm(f *testing.F) {
	for _, seed := range []string{"client_id=gatehouse-cli&device_name=ann%27s+laptop", "a=1&a=2", "a=%00", "a=%zz", "a;b", "&&&", "=x", "a=&b=c", "%E2%80%AE=1", "\xff=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		form, err := parseOAuthForm(text)
		if err != nil {
			if form != nil {
				t.Errorf("%q is refused with %v", text, form)
			}
			return
		}
		fields := url.Values{}
		for name, value := range form {
			if value == "" || !plainText(name) || !plainText(value) {
				t.Errorf("%q: %q is %q", text, name, value)
			}
			fields.Set(name, value)
		}
		if len(form) > maxOAuthFields {
			t.Errorf("%d fields", len(form))
		}
		if again, err := parseOAuthForm(fields.Encode()); err != nil || !maps.Equal(again, form) {
			t.Errorf("%v is read as %v, %v", form, again, err)
		}
	})
}
