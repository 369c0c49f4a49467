//go:build browser

package statusserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"chefsync/cli/internal/statusserver"
)

// window is a size and color scheme of a window.
type window struct {
	name          string
	width, height int64
	scheme        string
}

func windows() []window {
	return []window{{"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}, {"desktop-light", 1280, 800, "light"}, {"desktop-dark", 1280, 800, "dark"}}
}

// TestBrowserPages looks at the pages of 240 pairs in windows of different sizes, keeps
// what they look like, and checks what holds for each.
func TestBrowserPages(t *testing.T) {
	b := newBrowser(t, handler(t, newFleet(t), nil))
	for _, page := range []struct{ name, path string }{{"fleet", "/"}, {"pair-unsynced", "/pairs/eu/build"}, {"pair-held", "/pairs/eu/catalog"},
		{"pair-bootstrapping", "/pairs/us/support"}} {
		for _, w := range windows() {
			b.open(page.path, w.width, w.height, w.scheme)
			name := page.name + "-" + w.name
			if width := eval[int64](b, "document.documentElement.scrollWidth"); width > w.width {
				t.Errorf("%s is %d px wide, the window %d", name, width, w.width)
			}
			if low := eval[[]string](b, lowContrast); len(low) > 0 {
				t.Errorf("%s: contrast of less than 4.5 (3 of icons): %q", name, low)
			}
			b.checkConsole()
			b.screenshot(name, w.width < 600 || page.path != "/")
		}
		b.open(page.path, 320, 640, "light") // a page at 400 % on a desktop
		if width := eval[int64](b, "document.documentElement.scrollWidth"); width > 320 {
			t.Errorf("%s is %d px wide in a window of 320", page.name, width)
		}
	}
}

// lowContrast is the texts, and icons of cells, whose contrast with what is behind them
// is less than WCAG AA asks for.
const lowContrast = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const luminance = ([r, g, b]) => {
		const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
		return 0.2126 * x + 0.7152 * y + 0.0722 * z;
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const color = rgb(getComputedStyle(e).backgroundColor);
			if (color[3] === 255) { return color; }
		}
		return [255, 255, 255, 255];
	};
	const low = new Set();
	for (const e of document.querySelectorAll('body *')) {
		const isCell = e.classList.contains('cell');
		const hasText = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
		if (!isCell && (!hasText || !e.checkVisibility() || e.closest('.visually-hidden'))) { continue; }
		const a = luminance(rgb(getComputedStyle(e).color)), b = luminance(behind(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < (isCell ? 3 : 4.5)) { low.add((e.getAttribute('aria-label') || e.textContent).trim().slice(0, 30) + ' ' + ratio.toFixed(2)); }
	}
	return [...low].slice(0, 10);
})()`

// TestBrowserMatrix: all pairs are seen at once on a small desktop, and each can be hit.
func TestBrowserMatrix(t *testing.T) {
	b := newBrowser(t, handler(t, newFleet(t), nil))
	b.open("/", 1280, 800, "light")
	type box struct{ Left, Top, Right, Bottom float64 }
	cells := eval[[]box](b, `[...document.querySelectorAll('.cell')].map((c) => { const r = c.getBoundingClientRect(); return { left: r.left, top: r.top, right: r.right, bottom: r.bottom }; })`)
	if len(cells) != 240 {
		t.Fatalf("%d cells", len(cells))
	}
	for i, c := range cells {
		if c.Left < 0 || c.Top < 0 || c.Right > 1280 || c.Bottom > 800 {
			t.Fatalf("cell %d is outside of the window: %+v", i, c)
		}
		if c.Right-c.Left < 24 {
			t.Fatalf("cell %d is too narrow: %+v", i, c)
		}
		if i >= 6 && c.Top > cells[i-6].Top && c.Top-cells[i-6].Top < 24 {
			t.Fatalf("cell %d is too close to the one above: %+v and %+v", i, cells[i-6], c)
		}
	}
	if first := eval[string](b, `document.querySelector('.troubles .pill').textContent`); first != "blocked" {
		t.Errorf("the first trouble is %s", first)
	}
}

// TestBrowserKeyboard: the keyboard alone leads to a pair and back.
func TestBrowserKeyboard(t *testing.T) {
	b := newBrowser(t, handler(t, newFleet(t), nil))
	b.open("/", 1280, 800, "light")
	focused := func() string {
		return eval[string](b, `document.activeElement.getAttribute('href') || document.activeElement.id`)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	if f := focused(); f != "#pairs" {
		t.Fatalf("the first stop is %q, want the skip link", f)
	}
	if top := eval[float64](b, `document.activeElement.getBoundingClientRect().top`); top < 0 {
		t.Error("the skip link isn't visible while it has the focus")
	}
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab))
	if f := focused(); f != "/pairs/eu/accounts" {
		t.Fatalf("after it comes %q, want the first pair", f)
	}
	if outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the outline of what has the focus is %s", outline)
	}
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitReady("dl.facts"))
	if h := eval[string](b, `document.querySelector('h1').textContent.trim()`); !strings.HasPrefix(h, "eu/accounts") {
		t.Errorf("the page is of %q", h)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	if f := focused(); f != "/" {
		t.Errorf("the first stop is %q, want the way back", f)
	}
	b.checkConsole()
}

// TestBrowserAccessibility: what assistive technology gets has names and structure.
func TestBrowserAccessibility(t *testing.T) {
	b := newBrowser(t, handler(t, newFleet(t), nil))
	for path, want := range map[string][]string{
		"/": {"link eu/catalog: held", "link us/identity: blocked", "link sa/accounts: unreachable", "columnheader sa", "rowheader accounts", "heading Needs attention",
			"table Status of the organizations accounts to identity on each replica", "region Summary", "heading Organizations and replicas",
			"progressbar pass of eu/support"},
		"/pairs/eu/build": {"heading eu/build retrying", "heading 2 unsynced objects", "columnheader Reason", "rowheader /roles/web", "navigation Pages", "link Chef Replication",
			"heading Log, newest first"},
	} {
		b.open(path, 1280, 800, "light")
		tree := call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		var seen []string
		for _, n := range tree.Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			role, name := text(n.Role), strings.Join(strings.Fields(text(n.Name)), " ")
			if name == "" && slices.Contains([]string{"link", "button", "progressbar", "heading", "table", "image"}, role) {
				t.Errorf("%s: a %s has no name", path, role)
			}
			seen = append(seen, role+" "+name)
		}
		for _, w := range want {
			if !slices.Contains(seen, w) {
				t.Errorf("%s: there is no %q among %q", path, w, seen[:min(len(seen), 30)])
			}
		}
	}
}

// text returns the text of a value of the accessibility tree.
func text(v *accessibility.Value) (s string) {
	if v != nil {
		_ = json.Unmarshal(v.Value, &s) // numbers are no text
	}
	return s
}

// changingReader is a reader whose status can change.
type changingReader struct {
	fakeReader
	mu sync.Mutex
}

func (r *changingReader) Status(ctx context.Context) (statusserver.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fakeReader.Status(ctx)
}

// TestBrowserRefresh: a page updates in place, keeps what the reader has focused and
// opened, and says when it can't.
func TestBrowserRefresh(t *testing.T) {
	a := newFleet(t)
	r := &changingReader{}
	var err error
	if r.status, err = statusserver.NewReader(a, a.Pairs()).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, fakeHandler(t, &fakeReader{}, nil))
	b.server.Config.Handler = handler(t, a, func(o *statusserver.Options) { o.Reader, o.Refresh, o.LocalOnly = r, 100*time.Millisecond, false })
	b.open("/", 1280, 800, "light")
	b.do(chromedp.Evaluate[chromedp.Void](`window.loadedOnce = true; document.getElementById('pair-eu/accounts').focus(); document.querySelector('details').open = true`))
	r.mu.Lock()
	r.status.Pairs = slices.Clone(r.status.Pairs)
	r.status.Pairs[0].Status, r.status.Pairs[0].Note = "blocked", "its key was refused"
	r.mu.Unlock()
	until(b, `document.getElementById('pair-eu/accounts').classList.contains('bad')`)
	for _, what := range []string{`window.loadedOnce`, `document.activeElement.id === 'pair-eu/accounts'`, `document.querySelector('details').open`,
		`document.title.startsWith('240 pairs, 50 need attention')`, `document.getElementById('announcement').textContent === '240 pairs, 50 need attention'`,
		`document.getElementById('outdated').hidden`} {
		if !eval[bool](b, what) {
			t.Errorf("after the update it isn't true that %s", what)
		}
	}
	b.checkConsole()
	b.server.Listener.Close()
	b.server.CloseClientConnections()
	until(b, `!document.getElementById('outdated').hidden`)
	if said := eval[string](b, `document.getElementById('outdated').textContent`); !strings.HasPrefix(said, "Not updated since ") {
		t.Errorf("it says %q", said)
	}
}

// until waits until an expression is true.
func until(b *browser, expression string) {
	b.t.Helper()
	wait := fmt.Sprintf(`new Promise((done) => { const look = () => (%s) ? done(true) : setTimeout(look, 20); look(); })`, expression)
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](wait, chromedp.EvalAwaitPromise)); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// TestBrowserWithoutJavaScript: pages are whole without scripts, and load themselves again.
func TestBrowserWithoutJavaScript(t *testing.T) {
	b := newBrowser(t, handler(t, newFleet(t), nil))
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.do(chromedp.Navigate(b.server.URL + "/"))
	html, err := chromedp.Run(b.ctx, chromedp.OuterHTML("html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(html, `class="cell`); n != 240 {
		t.Errorf("%d cells", n)
	}
	if !strings.Contains(html, `<noscript><meta http-equiv="refresh" content="30"></noscript>`) {
		t.Error("the page doesn't load itself again")
	}
	b.checkConsole()
}
