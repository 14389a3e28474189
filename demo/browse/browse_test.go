package browse_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/demo/browse"
)

// site is an app with a sign-in of three pages: a refresh, a form with a
// password, and a form that is passed on.
func site(t *testing.T) string {
	t.Helper()
	page := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Sec-Fetch-Mode") != "navigate" {
				t.Errorf("%s was not loaded as a page", r.URL)
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, text)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page(`<meta http-equiv="refresh" content="0; url=/form?a=1">`))
	mux.HandleFunc("GET /form", page(`<form method="post" action="check"><input type=hidden name=id value="&quot;7&quot;"><input name=username><input name=password type=password></form>`))
	mux.HandleFunc("POST /check", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("id") != `"7"` || r.FormValue("username") != "me" || r.FormValue("password") != "right" {
			page(`<form method=post action=/check><input name=password></form>`)(w, r)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "in", Value: "1"})
		page(`<form method="POST" action="/pass"><input type="hidden" name="SAMLResponse" value="x"></form>`)(w, r)
	})
	mux.HandleFunc("POST /pass", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("SAMLResponse") != "x" {
			t.Error("a hidden field was lost")
		}
		http.Redirect(w, r, "/home", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /home", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("in"); err != nil {
			t.Error("the cookie was lost")
		}
		page(`<p>welcome</p>`)(w, r)
	})
	mux.HandleFunc("GET /round", page(`<form action="/round"><input name=q value=1></form>`))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestSignInFollowsThePages(t *testing.T) {
	address := site(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	resp, err := browse.SignIn(t.Context(), client, address, "me", "right")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.Request.URL.Path != "/home" || !strings.Contains(string(text), "welcome") {
		t.Errorf("came out at %s: %s %v", resp.Request.URL, text, err)
	}
}

func TestSignInStopsAtASecondQuestion(t *testing.T) {
	resp, err := browse.SignIn(t.Context(), &http.Client{}, site(t), "me", "wrong")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Request.URL.Path != "/check" {
		t.Errorf("came out at %s", resp.Request.URL)
	}
}

func TestSignInDoesNotGoRoundForEver(t *testing.T) {
	resp, err := browse.SignIn(t.Context(), &http.Client{}, site(t)+"/round", "me", "right")
	if err == nil {
		_ = resp.Body.Close()
		t.Error("a circle of forms came to an end")
	}
}
