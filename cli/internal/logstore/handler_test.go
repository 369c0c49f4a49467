package logstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"chefsync/pkg/object"
)

// memory is a store that can fail or hang.
type memory struct {
	mu    sync.Mutex
	lines []Line
	calls int
	err   error
	hang  chan struct{}
}

func (m *memory) Append(_ context.Context, lines []Line) error {
	if m.hang != nil {
		<-m.hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.err != nil {
		return m.err
	}
	m.lines = append(m.lines, lines...)
	return nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) text() (got []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.lines {
		got = append(got, l.Message)
	}
	return got
}

func TestHandlerWritesInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		h := newHandler(store, limits{time.Second, 3, 20_000}, ignoreError)
		defer h.Close()
		log := slog.New(h)
		log.Info("1")
		log.Info("2")
		log.Debug("below the level")
		synctest.Wait()
		if got := store.text(); got != nil {
			t.Errorf("written before a second passed: %v", got)
		}
		time.Sleep(time.Second) // of the bubble
		synctest.Wait()
		if got := fmt.Sprint(store.text()); got != "[1 2]" || store.calls != 1 {
			t.Errorf("after a second: %s in %d writes, want both lines in one", got, store.calls)
		}
		log.Info("3")
		log.Info("4")
		log.Info("5")
		synctest.Wait()
		if got := fmt.Sprint(store.text()); got != "[1 2 3 4 5]" {
			t.Errorf("a full batch waited: %s", got)
		}
	})
}

func TestHandlerWritesTheRestOnClose(t *testing.T) {
	store := &memory{}
	h := newHandler(store, limits{time.Hour, 500, 20_000}, ignoreError)
	slog.New(h).Info("the last words")
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(store.text()); got != "[the last words]" {
		t.Errorf("written: %s", got)
	}
	if err := h.Handle(t.Context(), slog.Record{Message: "late"}); err == nil {
		t.Error("a line after Close was lost without an error")
	}
}

func TestHandlerDoesNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{hang: make(chan struct{})}
		h := newHandler(store, limits{time.Second, 1, 5}, ignoreError)
		log := slog.New(h)
		log.Info("hangs")
		synctest.Wait()
		start := time.Now()
		for n := range 8 {
			log.Info(fmt.Sprint(n))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("logging waited %s", d)
		}
		close(store.hang)
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(store.text(), ", ")
		want := "hangs, 0, 1, 2, 3, 4, 3 log lines were lost: they came faster than they could be written"
		if got != want {
			t.Errorf("written:\n%s\nwant:\n%s", got, want)
		}
	})
}

// When the store fails, work goes on, and one warning is given.
func TestHandlerWarnsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		store.fail(errors.New("disk full"))
		var warnings []string
		h := newHandler(store, limits{time.Second, 1, 20_000}, func(err error) { warnings = append(warnings, err.Error()) })
		log := slog.New(h)
		for n := range 5 {
			log.Info(fmt.Sprint(n))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "disk full") {
			t.Errorf("warnings: %q, want one that says why", warnings)
		}
		store.fail(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := fmt.Sprint(store.text()); got != "[0 1 2 3 4]" {
			t.Errorf("after the repair: %s, want all lines in order", got)
		}
		store.fail(errors.New("disk full again"))
		log.Info("5")
		if err := h.Close(); err == nil {
			t.Error("Close hides that the last lines weren't written")
		}
		if len(warnings) != 2 {
			t.Errorf("warnings: %q, want a new one for new trouble", warnings)
		}
	})
}

// Lines that are lost while the store fails are counted over all its failures, those
// that were counted before a failed write too, and reported once it works.
func TestHandlerReportsTheLinesLostWhileTheStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		store.fail(errors.New("disk full"))
		h := newHandler(store, limits{time.Second, 500, 2}, ignoreError)
		log := slog.New(h)
		lost := 0
		for range 3 { // each time a write fails
			for n := range 4 {
				if h.Handle(t.Context(), slog.Record{Time: time.Now(), Message: fmt.Sprint(n)}) != nil {
					lost++
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if lost != 10 {
			t.Fatalf("%d lines were refused, want 10: the queue holds two", lost)
		}
		store.fail(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		log.Info("after")
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(store.text(), ", ")
		if want := "0, 1, 10 log lines were lost: they came faster than they could be written, after"; got != want {
			t.Errorf("written:\n%s\nwant:\n%s", got, want)
		}
	})
}

func logged(t *testing.T, f func(*slog.Logger)) Line {
	t.Helper()
	store := &memory{}
	h := newHandler(store, defaultLimits(), ignoreError)
	f(slog.New(h))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if len(store.lines) != 1 {
		t.Fatalf("%d lines, want 1", len(store.lines))
	}
	return store.lines[0]
}

func TestHandlerTakesTheFixedKeys(t *testing.T) {
	ref := object.Ref{Kind: object.Role, Name: "web"}
	got := logged(t, func(log *slog.Logger) {
		log.With("pair", engineering(), "run", "r1").Warn("applied", "kind", ref.Kind, "object", ref, "action", "update", "seq",
			int64(1)<<60, "outcome", "done", "error", errors.New("a <b>"), "took", 1500*time.Millisecond)
	})
	if got.Pair != engineering() || got.Run != "r1" || got.Object != "/roles/web" || got.Level != slog.LevelWarn || got.Message != "applied" {
		t.Errorf("line %+v", got)
	}
	want := `{"kind":"role","action":"update","seq":1152921504606846976,"outcome":"done","error":"a <b>","took":"1.5s"}`
	if string(got.Attrs) != want {
		t.Errorf("attrs %s\nwant  %s", got.Attrs, want)
	}
}

type secretive struct{ Password string }

type valuer struct{ v slog.Value }

func (v valuer) LogValue() slog.Value { return v.v }

// Neither values of a data bag nor keys get into the log.
func TestHandlerRefusesWhatCouldCarryValues(t *testing.T) {
	const secret = "hunter2"
	for name, value := range map[string]any{
		"bytes":             []byte(secret),
		"raw json":          json.RawMessage(`{"password":"hunter2"}`),
		"a map":             map[string]any{"password": secret},
		"a struct":          secretive{secret},
		"a pointer":         &secretive{secret},
		"a list":            []string{secret},
		"json as text":      ` {"password":"hunter2"}`,
		"a list as text":    `["hunter2"]`,
		"lines":             "password:\nhunter2",
		"a key":             "-----BEGIN RSA PRIVATE KEY----- hunter2",
		"long text":         strings.Repeat("x", 200) + secret,
		"an error as extra": errors.New(secret),
		"a valuer of bytes": valuer{slog.AnyValue([]byte(secret))},
		"object as a map":   map[string]string{"password": secret},
		"nil":               nil,
	} {
		key := "extra"
		if strings.HasPrefix(name, "object") {
			key = "object"
		}
		got := logged(t, func(log *slog.Logger) { log.Info("m", key, value) })
		if all := fmt.Sprintf("%+v %s", got, got.Attrs); strings.Contains(all, secret) {
			t.Errorf("%s got into the log: %s", name, all)
		}
		if want := `{"refused":["` + key + `"]}`; string(got.Attrs) != want {
			t.Errorf("%s: attrs %s, want %s", name, got.Attrs, want)
		}
	}
}

func TestHandlerTakesShortScalars(t *testing.T) {
	got := logged(t, func(log *slog.Logger) {
		log.WithGroup("http").With("status", 503).Info("m", "ok", false, "ratio", 0.5, "n", uint8(7),
			slog.Group("peer", "name", "eu-1"), "ok", true)
	})
	want := `{"http.status":503,"http.ratio":0.5,"http.n":7,"http.peer.name":"eu-1","http.ok":true}`
	if string(got.Attrs) != want {
		t.Errorf("attrs %s\nwant  %s", got.Attrs, want)
	}
}

func TestHandlerCutsLongText(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	got := logged(t, func(log *slog.Logger) { log.Info(long, "error", long) })
	if len(got.Message) > 5000 || len(got.Attrs) > 5000 || !json.Valid(got.Attrs) {
		t.Errorf("a message of %d and attrs of %d bytes were kept", len(got.Message), len(got.Attrs))
	}
}

// The rules of package slog, except for groups: they are prefixes here.
func TestHandlerIsAHandler(t *testing.T) {
	var store *memory
	var h *Handler
	slogtest.Run(t, func(*testing.T) slog.Handler {
		store = &memory{}
		h = newHandler(store, defaultLimits(), ignoreError)
		return h
	}, func(t *testing.T) map[string]any {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		return asMap(t, store.lines[0])
	})
}

func asMap(t *testing.T, l Line) map[string]any {
	m := map[string]any{slog.MessageKey: l.Message, slog.LevelKey: l.Level}
	if !l.Time.IsZero() {
		m[slog.TimeKey] = l.Time
	}
	if len(l.Attrs) == 0 {
		return m
	}
	var attrs map[string]any
	if err := json.NewDecoder(bytes.NewReader(l.Attrs)).Decode(&attrs); err != nil {
		t.Fatal(err)
	}
	for k, v := range attrs {
		in, path := m, strings.Split(k, ".")
		for _, group := range path[:len(path)-1] {
			if in[group] == nil {
				in[group] = map[string]any{}
			}
			in = in[group].(map[string]any)
		}
		in[path[len(path)-1]] = v
	}
	return m
}

func ignoreError(error) {}
