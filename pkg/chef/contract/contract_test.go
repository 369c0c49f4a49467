package contract_test

import (
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/contract"
	"chefsync/pkg/chef/goiarditest"
)

// fakeServer is a server of package cheftest and somebody who may write to it.
func fakeServer(t *testing.T, opts cheftest.Options) contract.Server {
	opts.KeyBits = 2048 // for the older signing protocols
	srv := cheftest.Start(t, opts)
	org := srv.AddOrg("acme")
	key := srv.AddUser("writer")
	org.Associate("writer")
	return contract.Server{Root: srv.URL, Caller: contract.Caller{Base: org.URL(), User: "writer", Key: key}}
}

func TestCheftest(t *testing.T) { contract.Run(t, fakeServer(t, cheftest.Options{})) }

func TestCheftestWithAFeed(t *testing.T) {
	contract.Run(t, fakeServer(t, cheftest.Options{UpdatedSince: true}))
}

// A server without organizations that knows API version 1 at most: the form of
// goiardi, with the answers of erchef.
func TestCheftestWithoutOrganizations(t *testing.T) {
	srv := cheftest.Start(t, cheftest.Options{Orgless: true, MaxAPIVersion: 1, KeyBits: 2048})
	contract.Run(t, contract.Server{
		Root:        srv.URL,
		Caller:      contract.Caller{Base: srv.URL, User: "writer", Key: srv.AddUser("writer"), Version: "1"},
		Differences: contract.WithoutOrganizations(),
	})
}

func TestGoiardi(t *testing.T) {
	srv := goiarditest.Start(t)
	contract.Run(t, contract.Server{
		Root:        srv.URL,
		Caller:      contract.Caller{Base: srv.URL, User: goiarditest.AdminUser, Key: srv.AdminKey, Version: "1"},
		Differences: contract.Goiardi(),
	})
}

func TestServerOfTheEnvironment(t *testing.T) {
	s, found, err := contract.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Skip("SKIPPED: set CHEF_CONTRACT_URL and the variables that go with it to test a real server")
	}
	contract.Run(t, s)
}

func TestThereAreBeliefs(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range contract.Beliefs() {
		if seen[name] {
			t.Errorf("%q is believed twice", name)
		}
		seen[name] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d beliefs", len(seen))
	}
}
