package browse

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxPage bounds how much of a page is read.
const maxPage = 1 << 20

// Form is a form on a page.
type Form struct {
	Method string // GET or POST
	Action *url.URL
	Fields url.Values // as filled in by the page
}

// page is what a visitor can do next.
type page struct {
	form    *Form    // the first form, if there is one
	refresh *url.URL // where the page sends its reader at once, if it does
}

// readPage reads an answer whole, so that its body can be read again; what is
// no HTML offers nothing to go on with.
func readPage(resp *http.Response) (page, error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	_ = resp.Body.Close() // read only
	if err != nil {
		return page{}, fmt.Errorf("read page: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	var p page
	if !isPage(resp) {
		return p, nil
	}
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return page{}, fmt.Errorf("read page: %w", err)
	}
	for n := range root.Descendants() {
		switch {
		case n.DataAtom == atom.Form && p.form == nil:
			p.form, err = readForm(n, resp.Request.URL)
		case n.DataAtom == atom.Meta && strings.EqualFold(attr(n, "http-equiv"), "refresh"):
			if _, target, ok := strings.Cut(attr(n, "content"), "url="); ok {
				p.refresh, err = resp.Request.URL.Parse(target)
			}
		}
		if err != nil {
			return page{}, fmt.Errorf("read page: %w", err)
		}
	}
	return p, nil
}

func readForm(n *html.Node, base *url.URL) (*Form, error) {
	action, err := base.Parse(attr(n, "action"))
	if err != nil {
		return nil, err
	}
	f := &Form{Method: strings.ToUpper(attr(n, "method")), Action: action, Fields: url.Values{}}
	if f.Method != http.MethodPost {
		f.Method = http.MethodGet
	}
	for input := range n.Descendants() {
		if name := attr(input, "name"); input.DataAtom == atom.Input && name != "" {
			f.Fields.Add(name, attr(input, "value"))
		}
	}
	return f, nil
}

// Submit sends the form.
func (f *Form) Submit(ctx context.Context, client *http.Client) (*http.Response, error) {
	target, body := *f.Action, ""
	if f.Method == http.MethodGet {
		target.RawQuery = f.Fields.Encode()
	} else {
		body = f.Fields.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, f.Method, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if f.Method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return navigate(client, req)
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
