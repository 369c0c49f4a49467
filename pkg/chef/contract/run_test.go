package contract

import (
	"errors"
	"slices"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

func TestDifferencesMustAgreeWithTheServer(t *testing.T) {
	s := Server{Differences: map[string]string{"listed": "why"}}
	surprise := errors.New("surprise")
	for _, x := range []struct {
		name     string
		happened error
		wrong    bool
	}{
		{"believed", nil, false},
		{"believed", surprise, true},
		{"listed", surprise, false},
		{"listed", nil, true}, // out of date
	} {
		if err := s.checkDifference(x.name, x.happened); (err != nil) != x.wrong {
			t.Errorf("%s, %v: got %v", x.name, x.happened, err)
		}
	}
}

// Every belief can be disappointed: on a server that answers everything with
// 200 and {}, as if nothing were wrong, only those hold that ask for no more.
func TestBeliefsCanFail(t *testing.T) {
	srv := cheftest.New(cheftest.Options{})
	srv.Fault(cheftest.Fault{Status: 200, Body: "{}"})
	name, key := srv.Superuser()
	s := Server{Root: srv.URL, Caller: Caller{Base: srv.URL, User: name, Key: key, HTTP: srv.Client(), Protocol: "1.3"}}
	var held []string
	for _, b := range allBeliefs() {
		p := newProbe(t.Context(), s)
		if b.check(p); p.err == nil {
			held = append(held, b.name)
		}
	}
	want := []string{
		"signing/version 1.3 is accepted", "signing/the query is not signed", "signing/a clock 10 minutes off is accepted",
		"answers/the version header is JSON with numbers as strings", "answers/a success is application/json",
		"versions/none at all is version 0", "search/the indexes are listed", "policies/they are listed",
		"policies/groups are listed", "policies/artifacts are listed", "people/groups are listed",
	}
	if !slices.Equal(held, want) {
		t.Errorf("these hold:\n%q\nwant\n%q", held, want)
	}
}
