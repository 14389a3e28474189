package browse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxPages bounds a walk.
const maxPages = 12

var errLost = errors.New("no end after many pages")

// SignIn opens an address and goes on, filling username and password into the
// form that asks for them and sending every other form as it is, until a page
// without a form comes, or the password is asked for again. The caller closes
// the body. The client keeps the cookies in its jar.
func SignIn(ctx context.Context, client *http.Client, address, username, password string) (*http.Response, error) {
	resp, err := Open(ctx, client, address)
	typed := false
	for range maxPages {
		var next page
		if err == nil {
			next, err = readPage(resp)
		}
		if err != nil {
			return nil, fmt.Errorf("sign in at %s: %w", address, err)
		}
		asked := next.form != nil && next.form.Fields.Has("password")
		switch {
		case next.refresh != nil:
			resp, err = Open(ctx, client, next.refresh.String())
		case next.form == nil || (typed && asked):
			return resp, nil
		default:
			if asked {
				next.form.Fields.Set("username", username)
				next.form.Fields.Set("password", password)
				typed = true
			}
			resp, err = next.form.Submit(ctx, client)
		}
	}
	if err == nil {
		_ = resp.Body.Close() // nobody reads on
		err = errLost
	}
	return nil, fmt.Errorf("sign in at %s: %w", address, err)
}

// Open gets an address as a browser that navigates there would.
func Open(ctx context.Context, client *http.Client, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return navigate(client, req)
}

// navigate marks the request as a page load, so that it is answered with pages
// rather than problems for programs (Fetch Metadata Request Headers §2).
func navigate(client *http.Client, req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	return client.Do(req)
}

func isPage(resp *http.Response) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html")
}
