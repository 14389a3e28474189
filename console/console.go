package console

import (
	"crypto/rand"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"gatehouse/internal/httpkit"
)

// Prefix is the path under which [Handler] expects to be mounted.
const Prefix = "/.gatehouse/console"

// web holds the built app in dist, if `npm run build` has put it there, and the
// page that stands in for it.
//
//go:embed all:web
var web embed.FS

// noncePlace is what the build leaves in index.html where a nonce belongs
// (app/vite.config.ts).
const noncePlace = "__GATEHOUSE_NONCE__"

// Handler serves the console under [Prefix]. It asks nothing of the caller:
// the gate sends people who are not signed in away before.
func Handler() http.Handler {
	files, page := build()
	return serve(files, page)
}

// build gives the app's files and its page; without a build, no files and the
// page that says so.
func build() (fs.FS, string) {
	if page, err := web.ReadFile("web/dist/index.html"); err == nil {
		files, err := fs.Sub(web, "web/dist")
		if err == nil {
			return files, string(page)
		}
	}
	page, err := web.ReadFile("web/unbuilt.html")
	if err != nil {
		panic("console: the embedded stand-in is missing: " + err.Error())
	}
	return nil, string(page)
}

func serve(files fs.FS, page string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == Prefix {
			http.Redirect(w, r, Prefix+"/", http.StatusMovedPermanently)
			return
		}
		name, under := strings.CutPrefix(r.URL.Path, Prefix+"/")
		switch {
		case !under:
			httpkit.ReplyError(w, r, httpkit.ErrNothingHere)
		case strings.HasPrefix(name, "assets/"):
			serveAsset(w, r, files, name)
		default:
			servePage(w, page)
		}
	})
}

// serveAsset answers with a built file. Its name holds a hash of its content,
// so that a browser may keep it for ever.
func serveAsset(w http.ResponseWriter, r *http.Request, files fs.FS, name string) {
	if files == nil || path.Clean(name) != name || !isFile(files, name) {
		httpkit.ReplyError(w, r, httpkit.ErrNothingHere)
		return
	}
	secure(w.Header(), "default-src 'none'")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeFileFS(w, r, files, name) // #nosec G703 -- embedded files alone, and the name is clean
}

func isFile(files fs.FS, name string) bool {
	info, err := fs.Stat(files, name)
	return err == nil && !info.IsDir()
}

// servePage answers every address of the app with its one page. Mantine makes
// style elements while it runs; each page has a nonce of its own that lets
// these through and no others (CSP Level 3 §7.2).
func servePage(w http.ResponseWriter, page string) {
	nonce := rand.Text()
	h := w.Header()
	secure(h, "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = strings.NewReplacer(noncePlace, nonce).WriteString(w, page) // the browser may be gone; nothing is left to tell it
}

func secure(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
