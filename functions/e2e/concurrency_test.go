package e2e

import (
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
)

// TestRequestsFromOutsideCannotTakeTheAccountsConcurrency: anybody can call the
// URL, and a deployment bounds how often at once.
func TestRequestsFromOutsideCannotTakeTheAccountsConcurrency(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "eu", cheftest.Options{}))
	r.mustDeploy()
	if got := r.lambda.Reserved(r.stack.Web); got != 10 {
		t.Errorf("%d reserved, want 10", got)
	}
	r.more = "[aws]\njournal_concurrency = 0\n"
	r.mustDeploy()
	if got := r.lambda.Reserved(r.stack.Web); got != 0 {
		t.Errorf("%d reserved although the configuration leaves it to the account", got)
	}
	// What is in the template stays.
	r.more = "[aws]\njournal_concurrency = 3\n"
	r.reserving = nil
	r.mustDeploy()
	if len(r.reserving) > 0 {
		t.Errorf("the manager asked for %q", r.reserving)
	}
}

// TestANewAccountIsDeployedToAllTheSame: it has ten executions at once, and none
// to reserve.
func TestANewAccountIsDeployedToAllTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "eu", cheftest.Options{}))
	r.lambda.SetUnreserved(0)
	r.mustDeploy()
	r.manage(cloud.TaskManage)
	log := r.manager.Log().String()
	if n := strings.Count(log, "requests to the journal's URL can use up the concurrency of the account"); n != 2 || !strings.Contains(log, "ask Service Quotas") {
		t.Errorf("said %d times, want once by the deployment and once by the environment's first turn:\n%s", n, log)
	}
}
