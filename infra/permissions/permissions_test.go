package permissions_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/infra/permissions"
	"chefsync/pkg/config"
)

func parseConfig(t *testing.T, change func(string) string) *config.Config {
	t.Helper()
	text, err := os.ReadFile("../testdata/chef-sync.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Loader{}.Parse("chef-sync.toml", []byte(change(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func unchanged(text string) string { return text }

// allRoles are the permissions of all roles of a stack for a configuration.
func allRoles(c *config.Config) map[string][]permissions.Permission {
	return rolesOf(permissions.ScopeOf(c))
}

func rolesOf(s permissions.Scope) map[string][]permissions.Permission {
	return map[string][]permissions.Permission{
		"sync": permissions.Sync(s), "changes": permissions.Changes(s), "web": permissions.Web(s), "manager": permissions.Manager(s),
		"network": permissions.Network(),
	}
}

func TestPatternsOfPermissionsHaveReasons(t *testing.T) {
	all := allRoles(parseConfig(t, unchanged))
	for role, granted := range rolesOf(permissions.TemplateScope("chef-sync")) {
		all["template, "+role] = granted
	}
	for role, granted := range all {
		for _, r := range granted {
			if r.HasPattern() != (r.Reason != "") {
				t.Errorf("%s: %v on %v has the reason %q", role, r.Actions, r.Resources, r.Reason)
			}
			for _, a := range r.Actions {
				if strings.ContainsAny(a, "*?") {
					t.Errorf("%s: action %s", role, a)
				}
			}
		}
	}
}

// allowedResources are those that a role may do an action on.
func allowedResources(granted []permissions.Permission, action string) (list []string) {
	for _, r := range granted {
		if slices.Contains(r.Actions, action) {
			list = append(list, r.Resources...)
		}
	}
	return list
}

func TestOnlySecretsOfServersAreReadable(t *testing.T) {
	c := parseConfig(t, unchanged)
	secret := func(name string) string { return "arn:${Here:secretsmanager}:secret:chef-sync/" + name + "-??????" }
	for role, want := range map[string]struct{ secrets, parameters []string }{
		"sync":    {[]string{secret("primary"), secret("eu")}, []string{"arn:${Here:ssm}:parameter/chef-sync/ca"}}, // the CA of eu
		"changes": {[]string{secret("primary")}, nil},                                                              // it scans the primary alone
		"web":     {[]string{secret("collector-token"), secret("primary")}, nil},                                   // it asks the primary for readers' keys
	} {
		if diff := cmp.Diff(want.secrets, allowedResources(allRoles(c)[role], "secretsmanager:GetSecretValue")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
		if diff := cmp.Diff(want.parameters, allowedResources(allRoles(c)[role], "ssm:GetParameter")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
	}
	if r := append(allowedResources(permissions.Manager(permissions.ScopeOf(c)), "secretsmanager:GetSecretValue"), allowedResources(permissions.Manager(permissions.ScopeOf(c)), "ssm:GetParameter")...); len(r) > 0 {
		t.Errorf("the manager reads %v", r)
	}
}

func TestSecretsMayBeNamedByARN(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:eu-AbCdEf"
	c := parseConfig(t, func(text string) string {
		return strings.Replace(text, "secretsmanager:chef-sync/eu", "secretsmanager:"+arn, 1)
	})
	if got := allowedResources(permissions.Sync(permissions.ScopeOf(c)), "secretsmanager:GetSecretValue"); !slices.Contains(got, arn) {
		t.Errorf("readable: %v", got)
	}
}

func TestCustomerKeysDecryptSecretsOnly(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"
	c := parseConfig(t, func(text string) string {
		return strings.Replace(text, "[aws]\n", "[aws]\nkms_keys = [\""+key+"\"]\n", 1)
	})
	for role, via := range map[string][]string{
		"sync":    {"secretsmanager.${Region}.amazonaws.com", "ssm.${Region}.amazonaws.com"},
		"manager": {"s3.${Region}.amazonaws.com"}, // the uploaded configuration
	} {
		found := false
		for _, r := range allRoles(c)[role] {
			if slices.Contains(r.Actions, "kms:Decrypt") {
				found = slices.Equal(r.Resources, []string{key}) && slices.Equal(r.Conditions["StringEquals"]["kms:ViaService"], via)
			}
		}
		if !found {
			t.Errorf("%s: %v", role, allRoles(c)[role])
		}
	}
}

func TestAnotherOrganizationNeedsNoOtherPermissions(t *testing.T) {
	more := parseConfig(t, func(text string) string {
		return strings.Replace(text, "[aws]", "[[organization]]\nsource = \"operations\"\n[aws]", 1)
	})
	if diff := cmp.Diff(allRoles(parseConfig(t, unchanged)), allRoles(more)); diff != "" {
		t.Error(diff)
	}
}

func TestWebHasOnlyThePermissionsOfTheURL(t *testing.T) {
	for line, want := range map[string]int{"": 1, "journal_url = false": 0, "journal = false": 0} {
		c := parseConfig(t, func(text string) string { return strings.Replace(text, "[aws]\n", "[aws]\n"+line+"\n", 1) })
		if got := len(allowedResources(permissions.Manager(permissions.ScopeOf(c)), "lambda:PutFunctionConcurrency")); got != want {
			t.Errorf("%q: the manager reserves concurrency of %d functions, want %d", line, got, want)
		}
	}
}

func TestWithoutAChangeLogItsFunctionIsNotInvoked(t *testing.T) {
	c := parseConfig(t, func(text string) string { return strings.Replace(text, "[aws]\n", "[aws]\njournal = false\n", 1) })
	if got := allowedResources(permissions.Manager(permissions.ScopeOf(c)), "lambda:InvokeFunction"); !slices.Equal(got, []string{"${SyncFunction}"}) {
		t.Errorf("the manager calls %v", got)
	}
}

// With a key of one's own for the stack's data, each role may use it through the
// services that it writes to and reads from, and in no other way.
func TestTheDataKeyIsUsedThroughServicesOnly(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"
	c := parseConfig(t, func(text string) string {
		return strings.Replace(text, "[aws]\n", "[aws]\nkms_key = \""+key+"\"\n", 1)
	})
	for role, want := range map[string]map[string][]string{
		"sync": {
			"kms:Decrypt": {"dynamodb", "s3", "sqs"}, "kms:GenerateDataKey": {"dynamodb", "s3", "sqs"},
			"kms:DescribeKey": {"dynamodb"}, "kms:Encrypt": {"dynamodb"}, "kms:ReEncryptFrom": {"dynamodb"}, "kms:ReEncryptTo": {"dynamodb"},
		},
		"changes": {
			"kms:Decrypt": {"dynamodb", "s3", "sqs"}, "kms:GenerateDataKey": {"dynamodb", "s3", "sqs"},
			"kms:DescribeKey": {"dynamodb"}, "kms:Encrypt": {"dynamodb"}, "kms:ReEncryptFrom": {"dynamodb"}, "kms:ReEncryptTo": {"dynamodb"},
		},
		"web": {
			"kms:Decrypt": {"s3", "dynamodb", "sqs"}, "kms:GenerateDataKey": {"dynamodb", "sqs"},
			"kms:DescribeKey": {"dynamodb"}, "kms:Encrypt": {"dynamodb"}, "kms:ReEncryptFrom": {"dynamodb"}, "kms:ReEncryptTo": {"dynamodb"},
		},
		"manager": {
			"kms:Decrypt": {"dynamodb", "s3", "sqs"}, "kms:GenerateDataKey": {"dynamodb", "s3", "sqs"},
			"kms:DescribeKey": {"dynamodb"}, "kms:Encrypt": {"dynamodb"}, "kms:ReEncryptFrom": {"dynamodb"}, "kms:ReEncryptTo": {"dynamodb"},
		},
		"network": {},
	} {
		got := map[string][]string{}
		for _, r := range allRoles(c)[role] {
			for _, action := range r.Actions {
				if !strings.HasPrefix(action, "kms:") {
					continue
				}
				if !slices.Equal(r.Resources, []string{key}) {
					t.Errorf("%s: %s on %v", role, action, r.Resources)
				}
				for _, service := range r.Conditions["StringEquals"]["kms:ViaService"] {
					got[action] = append(got[action], strings.TrimSuffix(service, ".${Region}.amazonaws.com"))
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
	}
}

func TestOnlyADestroyedStackMayBeEmptied(t *testing.T) {
	for removal, want := range map[string]int{"retain": 0, "destroy": 1} {
		c := parseConfig(t, func(text string) string {
			return strings.Replace(text, "[aws]\n", "[aws]\nremoval = \""+removal+"\"\n", 1)
		})
		if got := len(allowedResources(permissions.Manager(permissions.ScopeOf(c)), "s3:DeleteObjectVersion")); got != want {
			t.Errorf("removal %q: the manager deletes in %d places, want %d", removal, got, want)
		}
	}
}
