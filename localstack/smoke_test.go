package localstack

import (
	"strings"
	"testing"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	runSmokeTest(t, startGoiardiLike(t), startGoiardiLike(t))
}

func TestSmokeWithGoiardi(t *testing.T) {
	runSmokeTest(t, startGoiardi(t), startGoiardi(t))
}

// runSmokeTest runs all steps but those that need Docker and Node: what CDK would deploy
// is there.
func runSmokeTest(t *testing.T, primary, replica chefServer) {
	t.Helper()
	e := newEmulator(t)
	env := e.scriptEnvironment(primary, replica)
	mustRun(t, env, "keys")
	e.deployConfig(mustRun(t, env, "config"))
	out := mustRun(t, env, "smoke")
	if !strings.HasSuffix(out, "== the replica followed three times\n") {
		t.Errorf("the smoke test says\n%s", out)
	}
	if got := mustRun(t, env, "ctl", "verify", "default", "--remote"); !strings.Contains(got, "equal") {
		t.Errorf("verify afterwards: %s", got)
	}
}

// Where the pair is stopped nothing is copied, and the smoke test says so: it can
// fail.
func TestSmokeFailsWithoutReplication(t *testing.T) {
	t.Parallel()
	e := newEmulator(t)
	primary, replica := startGoiardiLike(t), startGoiardiLike(t)
	env := e.scriptEnvironment(primary, replica)
	env["PATIENCE"] = "1"
	mustRun(t, env, "keys")
	e.deployConfig(mustRun(t, env, "config"))
	mustRun(t, env, "ctl", "sync-stop", "default")
	out, problems, err := runStep(t, env, "smoke")
	if err == nil || !strings.Contains(problems, "the replica didn't follow within 1 seconds") {
		t.Errorf("error %v\n%s%s", err, out, problems)
	}
}
