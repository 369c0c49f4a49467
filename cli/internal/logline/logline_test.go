package logline_test

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"chefsync/cli/internal/logline"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

func TestALineSaysWhatWasDoneAndWhy(t *testing.T) {
	now := time.Date(2026, 11, 29, 18, 0, 0, 0, time.UTC)
	at := time.Date(2026, 11, 29, 16, 33, 7, 0, time.UTC)
	eu := replication.PairID{Replica: "eu", Org: "engineering"}
	for _, c := range []struct {
		line  logstore.Line
		attrs string
		want  string
	}{
		{logstore.Line{Time: at, Pair: eu, Message: "object applied", Object: "/roles/web", Run: "r1"},
			`{"kind":"role","action":"update","seq":44,"outcome":"applied","reason":"changed on the primary"}`,
			"16:33:07    eu/engineering  updated /roles/web  changed on the primary"},
		{logstore.Line{Time: at.AddDate(0, 0, -1), Pair: eu, Level: slog.LevelWarn, Message: "object unsynced", Object: "/roles/web"},
			`{"outcome":"unsynced","class":"rejected","attempts":2,"error":"write /roles/web on eu: invalid (400): it's no run list","hint":"x"}`,
			"2026-11-28 16:33:07  ! eu/engineering  unsynced /roles/web  write: invalid (400): it's no run list"},
		{logstore.Line{Time: at, Pair: eu, Level: slog.LevelError, Message: "poll failed"}, `{"class":"unreachable","error":"no route","hint":"x"}`,
			"16:33:07  ✗ eu/engineering  poll failed  no route"},
		{logstore.Line{Time: at, Pair: eu, Message: "pass ends"},
			`{"outcome":"done","mode":"changes","seq":45,"changes":2,"observed":2,"equal":0,"created":0,"updated":2,"deleted":0,"unsynced":0,"staged_bytes":0,"duration_ms":35}`,
			"16:33:07    eu/engineering  pass ends  done, changes, 2 updated, 35ms"},
		{logstore.Line{Time: at, Pair: eu, Message: "pass begins"}, `{"mode":"changes","reason":"","seq":0}`,
			"16:33:07    eu/engineering  pass begins  changes"},
		{logstore.Line{Time: at, Message: "started"}, `{"pairs":2,"parallel":4,"tls":false}`, "16:33:07    started  2 pairs, parallel=4"},
		{logstore.Line{Time: at, Message: "a\x1b[31m"}, `{"x\u001b":"y\u001b"}`, `16:33:07    a\x1b[31m  x\x1b=y\x1b`},
	} {
		c.line.Attrs = json.RawMessage(c.attrs)
		if got := string(logline.Short(&ui.Output{}, c.line, now)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
