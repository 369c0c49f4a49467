package contract

import (
	"fmt"
	"slices"
	"testing"
)

// Server is a server to hold the beliefs against.
type Server struct {
	// Caller may write roles, environments, data bags and cookbooks. Its Base is
	// the URL of the organization's API, its Version the server's highest.
	Caller Caller
	// Root is the URL of the server, which is the same as Caller.Base for a
	// server without organizations.
	Root string
	// Differences are the beliefs that don't hold here, with the reason.
	Differences map[string]string
}

// belief is something that we take for granted when we talk to a Chef Server.
type belief struct {
	name  string
	check func(*probe)
}

func beliefs() []belief {
	return slices.Concat(signingBeliefs(), answerBeliefs(), roleBeliefs(), environmentBeliefs(), bagBeliefs(), jsonBeliefs(),
		manifestBeliefs(), frozenBeliefs(), contentBeliefs(), sandboxBeliefs(), otherBeliefs())
}

// Beliefs are the names of all beliefs, in the order in which Run tests them.
func Beliefs() []string {
	var names []string
	for _, b := range beliefs() {
		names = append(names, b.name)
	}
	return names
}

// Run tests every belief against a server, each in its own subtest. A belief
// listed in Differences must fail there. What the tests make has names that
// begin with "contract-" and is deleted.
func Run(t *testing.T, s Server) {
	t.Helper()
	known := map[string]bool{}
	for _, b := range beliefs() {
		known[b.name] = true
		t.Run(b.name, func(t *testing.T) {
			p := newProbe(t.Context(), s)
			b.check(p)
			held := p.err
			if err := p.cleanUp(); err != nil {
				t.Errorf("clean up: %v", err)
			}
			if err := s.verdict(b.name, held); err != nil {
				t.Error(err)
			} else if held != nil {
				t.Logf("different, as listed: %v", held)
			}
		})
	}
	for name := range s.Differences {
		if !known[name] {
			t.Errorf("the list of differences names an unknown belief: %q", name)
		}
	}
}

// verdict is what is wrong with a belief and the list of differences, given
// what happened when it was checked; nil when both agree with the server.
func (s Server) verdict(name string, happened error) error {
	reason, differs := s.Differences[name]
	switch {
	case differs && happened == nil:
		return fmt.Errorf("listed as different (%s), but it holds here: strike it from the list", reason)
	case differs:
		return nil
	}
	return happened
}
