package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef/cheftest"
)

// record names the release whose state is recorded (read-only).
var record = flag.String("record", "", "record the state that this version writes, as that of a release")

// recorded is what the state of a release says about its pair.
type recorded struct {
	Status         string
	Position       int64
	Objects        int
	Unsynced, Runs []string
}

// recorded reads the state as a command does.
func (r *rig) recorded() recorded {
	r.t.Helper()
	st, unsynced := r.record()
	e := r.engine()
	entries, err := e.State.Entries(r.t.Context(), e.Pair.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	runs, err := e.State.Runs(r.t.Context(), e.Pair.ID, 100)
	if err != nil {
		r.t.Fatal(err)
	}
	found := recorded{Status: string(st.Status()), Objects: len(entries)}
	if st.Progress.Position != nil {
		found.Position = st.Progress.Position.Seq
	}
	for _, u := range unsynced {
		found.Unsynced = append(found.Unsynced, fmt.Sprintf("%s: %s", u.Ref, u.Reason))
	}
	for _, run := range runs {
		found.Runs = append(found.Runs, fmt.Sprintf("%s %s %s: %d created, %d updated", run.Started.Format("15:04:05.000"), run.Mode, run.Outcome, run.Counts.Created, run.Counts.Updated))
	}
	return found
}

// TestStatesOfReleases: this version reads what every release recorded. -record VERSION
// adds the state that this version writes.
func TestStatesOfReleases(t *testing.T) {
	if *record != "" {
		recordState(t, filepath.Join("testdata", "releases", *record))
	}
	releases, err := filepath.Glob(filepath.Join("testdata", "releases", "*"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("%d releases, %v", len(releases), err)
	}
	for _, folder := range releases {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(folder, "recorded.json"))
			if err != nil {
				t.Fatal(err)
			}
			var want recorded
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "eu", cheftest.Options{}))
			packed, err := os.Open(filepath.Join(folder, "state.db.gz"))
			if err != nil {
				t.Fatal(err)
			}
			defer packed.Close()
			state, err := gzip.NewReader(packed)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(state)
			if err != nil {
				t.Fatal(err)
			}
			r.write("state.db", string(data))
			if d := cmp.Diff(want, r.recorded()); d != "" {
				t.Errorf("read otherwise (-recorded +read):\n%s", d)
			}
		})
	}
}

// recordState lets this version replicate, with an object that the replica refuses, and
// keeps the state and what it says.
func recordState(t *testing.T, folder string) {
	t.Helper()
	files := map[string][]byte{}
	dir := t.TempDir()
	// The state is one file when all that have it open have ended.
	t.Run("record", func(t *testing.T) {
		r := newRig(t, inMemory(t, "primary", cheftest.Options{UpdatedSince: true}), inMemory(t, "eu", cheftest.Options{}))
		r.dir = dir
		cheftest.Fill(r.primary.org)
		r.mustPass()
		r.replica.mem.Fault(cheftest.Fault{Method: "PUT", Path: "/roles/web", Status: 413, Body: `{"error":"JSON must be no more than 1000 bytes."}`})
		r.primary.org.PutRole("web", `{"description":"changed"}`)
		r.primary.org.PutRole("new", `{}`)
		if _, err := r.pass(); err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(r.recorded(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		files["recorded.json"] = append(text, '\n')
	})
	data, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files["state.db.gz"] = packed.Bytes()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
