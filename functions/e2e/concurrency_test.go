package e2e

import (
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
)

// TestConcurrencyOfTheURLIsBounded: anybody can call the
// URL, and a deployment bounds how often at once.
func TestConcurrencyOfTheURLIsBounded(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	r.mustDeploy()
	if got := r.lambda.Reserved(r.stack.Web); got != 10 {
		t.Errorf("%d reserved, want 10", got)
	}
	r.moreConfig = "[aws]\njournal_concurrency = 0\n"
	r.mustDeploy()
	if got := r.lambda.Reserved(r.stack.Web); got != 0 {
		t.Errorf("%d reserved although the configuration leaves it to the account", got)
	}
	r.moreConfig = "[aws]\njournal_concurrency = 3\n"
	r.mustDeploy()
	if got := r.lambda.Reserved(r.stack.Web); got != 3 {
		t.Errorf("%d reserved, want the 3 of the configuration", got)
	}
}

// TestADeploymentToANewAccountSucceeds: it has ten executions at once, and none
// to reserve.
func TestADeploymentToANewAccountSucceeds(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	r.lambda.SetUnreserved(0)
	r.mustDeploy()
	r.runManager(cloud.TaskManage)
	log := r.manager.Log().String()
	if n := strings.Count(log, "requests to the change log's URL can use up the concurrency of the account"); n != 2 || !strings.Contains(log, "Lambda executions in Service Quotas") {
		t.Errorf("logged %d times, want once by the deployment and once by the first run of the environment:\n%s", n, log)
	}
}
