package statusserver

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

//go:embed assets
var assets embed.FS

// icons is the sprite of the icons, which each page begins with.
//
//go:embed assets/icons.svg
var icons string

// The tones of what is shown, which the style sheet colors.
const (
	toneOK   = "ok"
	toneBusy = "busy"
	toneWarn = "warn"
	toneDown = "down" // a server or passes are missing
	toneBad  = "bad"  // an operator is needed
	toneOff  = "off"
)

// statusUnknown is shown for a pair whose records can't be read.
const statusUnknown = "unknown"

// statusTone returns the tone of a status of a pair or of a server.
func statusTone(s string) string {
	switch replication.Status(s) {
	case replication.Synced, pairstatus.ServerUp:
		return toneOK
	case replication.Syncing, replication.Bootstrapping, pairstatus.Waiting:
		return toneBusy
	case replication.Retrying, status.Drifted, statusUnknown:
		return toneWarn
	case status.Unreachable, status.Stale:
		return toneDown
	case replication.Stopped:
		return toneOff
	}
	return toneBad
}

// registerPages adds the pages to a mux.
func (o Options) registerPages(mux *http.ServeMux) {
	for _, name := range []string{"style.css", "refresh.js", "icon.svg"} {
		mux.HandleFunc("/assets/"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, assets, "assets/"+name)
		})
	}
	mux.HandleFunc("/{$}", o.serveFleet)
	mux.HandleFunc("/pairs/{replica}/{organization}", o.servePair)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		o.writeProblem(w, http.StatusNotFound, "Not found", "There is no such page.")
	})
}

// programTitle is the name of the program in pages.
const programTitle = "Chef Replication"

// scheduler says whether passes run.
type scheduler struct{ Tone, Text string }

func newScheduler(d pairstatus.Processes, now time.Time) scheduler {
	problem := d.Problem(now)
	switch {
	case d.OnStack && d.Manager == nil:
		return scheduler{toneWarn, "Manager: no run seen yet"}
	case problem != "" && d.OnStack:
		return scheduler{toneBad, "Manager not running, last run " + ui.Age(d.Manager.Seen, now)}
	case d.OnStack:
		return scheduler{toneOK, "Manager ran " + ui.Age(d.Manager.Seen, now)}
	case problem != "":
		return scheduler{toneBad, "Daemon " + problem}
	case len(d.Running) == 0:
		return scheduler{toneBad, "Daemon not running, never seen"}
	case !d.ConfigChanged.IsZero():
		return scheduler{toneWarn, fmt.Sprintf("%s changed %s; reload it with SIGHUP or restart the daemon", d.ConfigFile, ui.Age(d.ConfigChanged, now))}
	case len(d.Running) > 1:
		return scheduler{toneOK, ui.Plural(len(d.Running), "daemon") + " running"}
	}
	return scheduler{toneOK, describeDaemon(d.Running[0], now)}
}

func describeDaemon(p health.Process, now time.Time) string {
	return fmt.Sprintf("Daemon running on %s since %s", p.Host, pairstatus.FormatStart(p.Started, now))
}

// writePage writes a page.
func writePage(w http.ResponseWriter, code int, page g.Node) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_ = page.Render(w) // the reader may be gone
}

// writeProblem writes a page that says why there is no other.
func (o Options) writeProblem(w http.ResponseWriter, code int, heading, why string) {
	l := o.newLayout(heading+" · "+programTitle, o.Now())
	writePage(w, code, l.document(subHeader(scheduler{}),
		h.Main(h.ID("live"), h.Section(h.Class("card lead"), h.H1(text(heading)), h.P(text(why))))))
}

// readStatus reads the status of all pairs, or writes why that fails and returns false.
func (o Options) readStatus(w http.ResponseWriter, r *http.Request) (Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	st, err := o.Reader.Status(ctx)
	if err != nil {
		o.writeProblem(w, http.StatusServiceUnavailable, "The store doesn’t respond", err.Error())
		return st, false
	}
	return st, true
}
