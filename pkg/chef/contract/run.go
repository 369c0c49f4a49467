package contract

import (
	"fmt"
	"slices"
	"testing"
)

// Server is a server to test the beliefs with.
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

// belief is an assumption about Chef Servers.
type belief struct {
	name  string
	check func(*probe)
}

func allBeliefs() []belief {
	return slices.Concat(signingBeliefs(), answerBeliefs(), roleBeliefs(), environmentBeliefs(), bagBeliefs(), jsonBeliefs(),
		manifestBeliefs(), frozenBeliefs(), contentBeliefs(), sandboxBeliefs(), otherBeliefs())
}

// Beliefs returns the names of all beliefs, in the order in which Run tests them.
func Beliefs() []string {
	var names []string
	for _, b := range allBeliefs() {
		names = append(names, b.name)
	}
	return names
}

// Run tests every belief against a server, each in its own subtest. A belief
// listed in Differences must fail there. The objects that the tests create have names
// that begin with "contract-" and are deleted.
func Run(t *testing.T, s Server) {
	t.Helper()
	known := map[string]bool{}
	for _, b := range allBeliefs() {
		known[b.name] = true
		t.Run(b.name, func(t *testing.T) {
			p := newProbe(t.Context(), s)
			b.check(p)
			held := p.err
			if err := p.cleanUp(); err != nil {
				t.Errorf("clean up: %v", err)
			}
			if err := s.checkDifference(b.name, held); err != nil {
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

// checkDifference returns an error if the result of a check and the list of differences
// don't agree.
func (s Server) checkDifference(name string, happened error) error {
	reason, differs := s.Differences[name]
	switch {
	case differs && happened == nil:
		return fmt.Errorf("listed as different (%s), but it holds here: remove it from the list", reason)
	case differs:
		return nil
	}
	return happened
}
