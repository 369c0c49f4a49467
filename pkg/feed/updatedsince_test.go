package feed

import (
	"context"
	"errors"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// fakeGetter is a getter with one answer. It remembers the path.
type fakeGetter struct {
	body string
	err  error
	path string
}

func (a *fakeGetter) Get(_ context.Context, path string) ([]byte, error) {
	a.path = path
	return []byte(a.body), a.err
}

var (
	errNoRoute = errors.New("404 page of the front end")
	errDenied  = &fault.Error{Op: "read", Class: fault.Denied, Err: errors.New("401")}
)

func feedOf(a *fakeGetter) *UpdatedSince {
	return NewUpdatedSince(a, func(err error) bool { return errors.Is(err, errNoRoute) })
}

func TestReadAsksForRowsAfterAnID(t *testing.T) {
	a := &fakeGetter{body: `[{"id":5,"action":"a","path":"/roles/a"},{"id":7,"action":"a","path":"/roles/b"},{"id":6,"action":"a",` +
		`"path":"/roles/c"}]`}
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

func TestReadDistinguishesNoFeedFromFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer fakeGetter
		noFeed bool
		class  fault.Class
	}{
		{"404 of a front end", fakeGetter{err: errNoRoute}, true, ""},
		{"empty 200, as goiardi answers", fakeGetter{body: ""}, true, ""},
		{"white space", fakeGetter{body: "\r\n"}, true, ""},
		{"200 with a page", fakeGetter{body: "\n<!DOCTYPE html><html></html>"}, true, ""},
		{"JSON of something else", fakeGetter{body: `{"error":["no"]}`}, true, ""},
		{"an array of something else", fakeGetter{body: `["a"]`}, true, ""},
		{"wrong key", fakeGetter{err: errDenied}, false, fault.Denied},
		{"an error nobody knows", fakeGetter{err: errors.New("x")}, false, fault.Transient},
		{"a cut answer", fakeGetter{body: `[{"id":1,"action":"a","pa`}, false, fault.Transient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := feedOf(&tt.answer).Read(t.Context(), 0)
			if err == nil || errors.Is(err, replication.ErrNoFeed) != tt.noFeed {
				t.Fatalf("error %v, want ErrNoFeed: %t", err, tt.noFeed)
			}
			if !tt.noFeed && fault.ClassOf(err) != tt.class {
				t.Errorf("class %s, want %s", fault.ClassOf(err), tt.class)
			}
		})
	}
}
