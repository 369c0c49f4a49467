package feed

import (
	"context"
	"errors"
	"testing"

	"chefsync/pkg/replication"
)

// answer is a getter with one answer. It remembers the path.
type answer struct {
	body string
	err  error
	path string
}

func (a *answer) Get(_ context.Context, path string) ([]byte, error) {
	a.path = path
	return []byte(a.body), a.err
}

var (
	errNoRoute = errors.New("404 page of the front end")
	errDenied  = &replication.Error{Op: "read", Class: replication.Denied, Err: errors.New("401")}
)

func feedOf(a *answer) *UpdatedSince {
	return NewUpdatedSince(a, func(err error) bool { return errors.Is(err, errNoRoute) })
}

func TestReadAsksForRowsAfterAnID(t *testing.T) {
	a := &answer{body: `[{"id":5,"action":"a","path":"/roles/a"},{"id":7,"action":"a","path":"/roles/b"},{"id":6,"action":"a","path":"/roles/c"}]`}
	rows, err := feedOf(a).Read(t.Context(), 5)
	if err != nil || a.path != "/updated_since?seq=5" {
		t.Fatalf("asked %s: %v", a.path, err)
	}
	if len(rows.Changes) != 2 || rows.Changes[0].ID != 6 || rows.Changes[1].ID != 7 || rows.Epoch != "" {
		t.Errorf("rows %+v, want 6 and 7 though the server sent 5 too", rows)
	}
	a.body = `[{"id":0,"action":"a","path":"/roles/a"}]`
	if rows, err := feedOf(a).Read(t.Context(), 0); err != nil || len(rows.Changes) != 1 {
		t.Errorf("after 0: %+v, %v; want every row, 0 too", rows, err)
	}
	if rows, err := feedOf(a).Read(t.Context(), -8); err != nil || len(rows.Changes) != 1 || a.path != "/updated_since?seq=0" {
		t.Errorf("the newest 8: asked %s: %+v, %v; want every row", a.path, rows, err)
	}
}

func TestReadTellsNoFeedFromTrouble(t *testing.T) {
	tests := []struct {
		name   string
		answer answer
		noFeed bool
		class  replication.Class
	}{
		{"404 of a front end", answer{err: errNoRoute}, true, ""},
		{"empty 200, as goiardi answers", answer{body: ""}, true, ""},
		{"white space", answer{body: "\r\n"}, true, ""},
		{"200 with a page", answer{body: "\n<!DOCTYPE html><html></html>"}, true, ""},
		{"JSON of something else", answer{body: `{"error":["no"]}`}, true, ""},
		{"an array of something else", answer{body: `["a"]`}, true, ""},
		{"wrong key", answer{err: errDenied}, false, replication.Denied},
		{"an error nobody knows", answer{err: errors.New("x")}, false, replication.Transient},
		{"a cut answer", answer{body: `[{"id":1,"action":"a","pa`}, false, replication.Transient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := feedOf(&tt.answer).Read(t.Context(), 0)
			if err == nil || errors.Is(err, replication.ErrNoFeed) != tt.noFeed {
				t.Fatalf("error %v, want ErrNoFeed: %t", err, tt.noFeed)
			}
			if !tt.noFeed && replication.ClassOf(err) != tt.class {
				t.Errorf("class %s, want %s", replication.ClassOf(err), tt.class)
			}
			if _, probe := feedOf(&tt.answer).Probe(t.Context()); probe == nil || probe.Error() != err.Error() {
				t.Errorf("probe says %v, read says %v", probe, err)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	if newest, err := feedOf(&answer{body: `[]`}).Probe(t.Context()); newest != 0 || err != nil {
		t.Errorf("a feed without rows: %d, %v", newest, err)
	}
	a := &answer{body: `[{"id":9,"action":"a","path":"/roles/a"},{"id":3,"action":"a","path":"/roles/a"}]`}
	if newest, err := feedOf(a).Probe(t.Context()); newest != 9 || err != nil || a.path != "/updated_since?seq=0" {
		t.Errorf("newest %d, %v after asking %s; want 9", newest, err, a.path)
	}
}

func TestNamedAsInTheConfiguration(t *testing.T) {
	if got := feedOf(&answer{}).Name(); got != "updated_since" {
		t.Errorf("name %q", got)
	}
}

func TestWithoutAPredicateNoErrorMeansNoFeed(t *testing.T) {
	_, err := NewUpdatedSince(&answer{err: errNoRoute}, nil).Read(t.Context(), 0)
	if !errors.Is(err, errNoRoute) || errors.Is(err, replication.ErrNoFeed) {
		t.Errorf("error %v, want the getter's own", err)
	}
}
