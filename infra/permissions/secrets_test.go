package permissions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chefsync/infra/permissions"
	"chefsync/pkg/config"
)

// configWithReplicas is the example with n replicas more, whose keys and private CAs are
// secrets and parameters under a name.
func configWithReplicas(t *testing.T, n int, under string) *config.Config {
	t.Helper()
	return parseConfig(t, func(text string) string {
		var more strings.Builder
		for i := range n {
			fmt.Fprintf(&more, "[[replica]]\nname = \"region-%03d\"\nurl = \"https://chef-%03d.example.com\"\nuser = \"u\"\nkey = \"secretsmanager:%s/region-%03d\"\nca = \"ssm:/%s/region-%03d-ca\"\n",
				i, i, under, i, under, i)
		}
		return strings.Replace(text, "[[organization]]", more.String()+"[[organization]]", 1)
	})
}

func TestFewSecretsAreNamedEach(t *testing.T) {
	c := configWithReplicas(t, 20, "chef-sync")
	for _, action := range []string{"secretsmanager:GetSecretValue", "ssm:GetParameter"} {
		if got := allowedResources(permissions.Sync(permissions.ScopeOf(c)), action); len(got) < 20 || slices.ContainsFunc(got, func(arn string) bool { return strings.HasSuffix(arn, "*") }) {
			t.Errorf("%s on %v", action, got)
		}
	}
}

// IAM's limit of a role's policies is that of the number of names.
func TestManySecretsOfTheStackAreOnePattern(t *testing.T) {
	c := configWithReplicas(t, 500, "chef-sync")
	for action, want := range map[string]string{
		"secretsmanager:GetSecretValue": "arn:${Here:secretsmanager}:secret:chef-sync/*",
		"ssm:GetParameter":              "arn:${Here:ssm}:parameter/chef-sync/*",
	} {
		if got := allowedResources(permissions.Sync(permissions.ScopeOf(c)), action); !slices.Equal(got, []string{want}) {
			t.Errorf("%s on %v, want %s", action, got, want)
		}
	}
	for _, r := range permissions.Sync(permissions.ScopeOf(c)) {
		if r.HasPattern() && r.Reason == "" {
			t.Errorf("%v on %v has no reason", r.Actions, r.Resources)
		}
	}
	// The role of the change log has three secrets, whatever the number of replicas.
	if got := allowedResources(permissions.Changes(permissions.ScopeOf(c)), "secretsmanager:GetSecretValue"); slices.ContainsFunc(got, func(arn string) bool { return strings.HasSuffix(arn, "*") }) {
		t.Errorf("the role of changes reads %v", got)
	}
	if err := c.CheckAWS(); err != nil {
		t.Error(err)
	}
}

func TestTooManyOtherSecretsAreRefused(t *testing.T) {
	if err := configWithReplicas(t, 20, "prod/chef").CheckAWS(); err != nil {
		t.Error(err)
	}
	err := configWithReplicas(t, 100, "prod/chef").CheckAWS()
	want := `replica[1].key: this and the other secrets outside chef-sync/ are too many: with 202 names the policy of a role is longer than IAM allows; keep them under the name of the stack, as "secretsmanager:chef-sync/NAME"`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v\nwant %s", err, want)
	}
}
