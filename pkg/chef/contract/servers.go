package contract

import (
	"fmt"
	"os"
	"strings"

	"chefsync/pkg/chef"
)

// FromEnvironment is the server that these variables name; found is false when
// CHEF_CONTRACT_URL isn't set.
//
//	CHEF_CONTRACT_URL     https://HOST[:PORT]
//	CHEF_CONTRACT_ORG     the organization; empty for a server without any
//	CHEF_CONTRACT_USER    who to call as
//	CHEF_CONTRACT_KEY     file of the private key
//	CHEF_CONTRACT_FLAVOR  erchef (the default) or goiardi
func FromEnvironment() (s Server, found bool, err error) {
	root := strings.TrimSuffix(os.Getenv("CHEF_CONTRACT_URL"), "/")
	if root == "" {
		return s, false, nil
	}
	pem, err := os.ReadFile(os.Getenv("CHEF_CONTRACT_KEY"))
	if err != nil {
		return s, true, fmt.Errorf("read the key of CHEF_CONTRACT_KEY: %w", err)
	}
	key, err := chef.ParseKey(pem)
	if err != nil {
		return s, true, fmt.Errorf("parse the key of CHEF_CONTRACT_KEY: %w", err)
	}
	s = Server{Root: root, Caller: Caller{Base: root, User: os.Getenv("CHEF_CONTRACT_USER"), Key: key}}
	if org := os.Getenv("CHEF_CONTRACT_ORG"); org != "" {
		s.Caller.Base += "/organizations/" + org
	}
	switch flavor := os.Getenv("CHEF_CONTRACT_FLAVOR"); flavor {
	case "", "erchef":
	case "goiardi":
		s.Caller.Version, s.Differences = "1", Goiardi()
	default:
		return s, true, fmt.Errorf("CHEF_CONTRACT_FLAVOR is %q: expected erchef or goiardi", flavor)
	}
	return s, true, nil
}

// WithoutOrganizations lists where the server of package cheftest differs in the form of
// goiardi: without organizations, and at API version 1 at most.
func WithoutOrganizations() map[string]string {
	return map[string]string{
		"organizations/an absent one is 404 by the API, before the signature": "it has no organizations",
		"cookbooks/files are all_files at 2 and segments below":               "version 2 is 406",
		"cookbooks/files of other folders are kept":                           "version 1 loses them",
	}
}
