package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"gatehouse/internal/words"
)

// narrow is the width that WCAG 2.2 §1.4.10 asks for, which is also that of a desk's
// screen at 400 %.
var narrow = screen{"-narrow", 320, 720}

// reader goes through pages of the gate in their language, by the keyboard alone.
type reader struct {
	*tab

	in *words.Language
}

// readsIn makes a tab that of somebody who reads a language.
func (p *tab) readsIn(l *words.Language) *reader {
	p.t.Helper()
	p.reads(l.Tag())
	return &reader{p, l}
}

// heading is the XPath of a page by its heading, in the reader's language.
func (p *reader) heading(english string, args ...any) string {
	return fmt.Sprintf(`//html[@lang="%s"]//h1[text()="%s"]`, p.in.Tag(), p.in.Say(english, args...))
}

// button and link are XPaths of what can be pressed.
func (p *reader) button(english string) string {
	return fmt.Sprintf(`//button[text()="%s"]`, p.in.Say(english))
}

func (p *reader) link(english string, args ...any) string {
	return fmt.Sprintf(`//a[text()="%s"]`, p.in.Say(english, args...))
}

// page waits for a page by its heading and looks at all of it: it is in one language,
// under the tenant's name and logo, fits 320 pixels, is accessible in light and in
// dark, and goes by the keyboard.
func (p *reader) page(name, heading string, args ...any) {
	p.t.Helper()
	p.see(p.heading(heading, args...))
	name = p.in.Tag() + "-" + name
	if !script[bool](p.tab, `(i => i && i.complete && i.naturalWidth === 48 && i.alt === "" && i.parentElement.innerText.trim() !== "")(document.querySelector("p.tenant img"))`) {
		p.t.Errorf("%s: there is no logo beside the tenant's name", name)
	}
	p.bare(name)
}

// bare is page for what no tenant, or one without a logo, shows.
func (p *reader) bare(name string) {
	p.t.Helper()
	p.look(name, narrow)
	for _, text := range script[[]string](p.tab, `(() => {
		const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("script, style")) found.push(walk.currentNode.data.trim());
		return found.concat([...document.querySelectorAll("[aria-label], [alt]")].map(e => e.getAttribute("aria-label") ?? e.alt));
	})()`) {
		if translation, ok := p.in.Translation(text); ok && translation != text {
			p.t.Errorf("%s says %q in English", name, text)
		}
	}
	if heads := script[int](p.tab, `document.querySelectorAll("h1").length`); heads != 1 {
		p.t.Errorf("%s has %d headings of the first level", name, heads)
	}
	p.keyboard(name)
}

// turnedAway is page for a refusal: it says what to do, with something to press, and
// which event and request it was.
func (p *reader) turnedAway(name, heading string) {
	p.t.Helper()
	p.page(name, heading)
	if lead := p.see(`//p[@class="lead"]`); !strings.HasSuffix(lead, ".") {
		p.t.Errorf("%s says %q", name, lead)
	}
	p.see(`//nav/a | //form//button`)
	p.see(`//dl/div[dt=` + fmt.Sprintf("%q", p.in.Say("Event")) + `]/dd[starts-with(text(), "evt_")]`)
	p.see(`//dl/div[dt=` + fmt.Sprintf("%q", p.in.Say("Request")) + `]/dd[starts-with(text(), "req_")]`)
}

// again is page for a form that is shown once more: the keyboard, and with it a screen
// reader, begins at what went wrong.
func (p *reader) again(name, heading string, args ...any) {
	p.t.Helper()
	p.see(p.heading(heading, args...))
	p.see(`//*[@role="alert" and @id="problem"]`)
	if at := script[string](p.tab, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(document.activeElement.id))))`); at != "problem" {
		p.t.Errorf("%s-%s: the keyboard is at %q, not at what went wrong", p.in.Tag(), name, at)
	}
	p.page(name, heading, args...)
}

// reachable is everything on a page that the keyboard must come to, as it is read.
const reachable = `[...document.querySelectorAll('a[href], button, input, textarea, select, summary, [tabindex="0"]')]
	.filter(e => !e.disabled && e.type !== "hidden" && e.checkVisibility({visibilityProperty: true}))`

// keyboard goes from the first to the last of what can be pressed or filled in, by
// Tab, and back again: all of it is come to in the order in which it is read, stands
// in the window, and shows that the keyboard is there (WCAG 2.2 §2.1.1, §2.4.3, §2.4.7
// and §2.4.11).
func (p *reader) keyboard(name string) {
	p.t.Helper()
	count := script[int](p.tab, reachable+`.length`)
	if count == 0 {
		return
	}
	stand := func(at int) {
		p.t.Helper()
		wrong := script[string](p.tab, fmt.Sprintf(`(() => {
			const all = %s, at = all[%d], here = document.activeElement;
			if (here !== at) return "the keyboard is at " + here.outerHTML.slice(0, 120) + ", not at " + at.outerHTML.slice(0, 120);
			const style = getComputedStyle(at), box = at.getBoundingClientRect();
			if (!at.matches(":focus-visible") || style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return "nothing shows that the keyboard is at " + at.outerHTML.slice(0, 120);
			if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) return "the keyboard is out of sight, at " + at.outerHTML.slice(0, 120);
			if (box.height < 24 && style.display !== "inline") return "there is little to press of " + at.outerHTML.slice(0, 120);
			return "";
		})()`, reachable, at))
		if wrong != "" {
			p.t.Errorf("%s: %s", name, wrong)
		}
	}
	script[any](p.tab, reachable+`[0].focus(); null`)
	for at := 1; at < count; at++ {
		p.do("press Tab", chromedp.KeyEvent(kb.Tab))
		stand(at)
	}
	for at := count - 2; at >= 0; at-- {
		p.do("press Shift+Tab", chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
		if at == 0 {
			stand(at)
		}
	}
}

// goTo puts the keyboard onto what an XPath names, by Tab.
func (p *reader) goTo(path string) {
	p.t.Helper()
	p.see(path)
	quoted, err := json.Marshal(path)
	if err != nil {
		p.t.Fatal(err)
	}
	for range 2*script[int](p.tab, reachable+`.length`) + 4 {
		if script[bool](p.tab, `(() => {
			const found = document.evaluate(`+string(quoted)+`, document, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
			for (let i = 0; i < found.snapshotLength; i++) if (found.snapshotItem(i) === document.activeElement) return true;
			return false;
		})()`) {
			return
		}
		p.do("press Tab", chromedp.KeyEvent(kb.Tab))
	}
	p.t.Fatalf("the keyboard does not come to %s\n%s", path, p.where())
}

// press presses what an XPath names.
func (p *reader) press(path string) {
	p.t.Helper()
	p.goTo(path)
	p.do("press "+path, pressEnter)
}

// fill types into the field of this name.
func (p *reader) fill(name, text string) {
	p.t.Helper()
	p.goTo(`//input[@name="` + name + `"] | //textarea[@name="` + name + `"]`)
	script[any](p.tab, `document.activeElement.select(); null`)
	p.do("fill in "+name, chromedp.KeyEvent(text))
}

// shows puts into the tab what a page says that nobody can look at because it goes on
// at once: it is the same but for going on.
func (p *reader) shows(client *http.Client, req *http.Request) {
	p.t.Helper()
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Accept-Language", p.in.Tag())
	_, page := do(p.t, client, req)
	before, rest, found := strings.Cut(string(page), `<meta http-equiv="refresh"`)
	if found {
		_, rest, _ = strings.Cut(rest, ">")
	} else if before, rest, found = strings.Cut(before, "<script>"); found {
		_, rest, _ = strings.Cut(rest, "</script>")
	}
	if !found {
		p.t.Fatalf("%s goes on to nothing: %s", req.URL, page)
	}
	quoted, err := json.Marshal(before + rest)
	if err != nil {
		p.t.Fatal(err)
	}
	p.open("https://" + req.URL.Host + "/.gatehouse/nothing")
	p.see(`//h1`)
	script[any](p.tab, `document.open(); document.write(`+string(quoted)+`); document.close(); null`)
}
