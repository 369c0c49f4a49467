package e2e

import (
	"strings"
	"testing"
)

// TestAPairContinuesAfterItWasRemovedAndAdded: its records stay, and what was taken out by
// mistake isn't compared whole when it is back.
func TestAPairContinuesAfterItWasRemovedAndAdded(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	r.runPass()
	before := r.pairRecord()
	without := strings.ReplaceAll(r.configText(), `"acme"`, `"lab"`)
	if status, reason := r.sendResourceEvent("Update", without); status != "SUCCESS" {
		t.Fatal(status, reason)
	}
	r.sync.Kill() // a warm environment reads the configuration every five minutes
	if answer, _ := r.invokeSync(r.scheduleEvent()); answer.Run != nil && answer.Run.Mode != "" {
		t.Errorf("a pair that was taken out did %+v", answer.Run)
	}
	r.primary.org.PutRole("meanwhile", `{}`)
	r.mustDeploy()
	r.sync.Kill()
	if run := r.runPass(); run.Mode != "changes" || run.From != before.Progress.Position.Seq {
		t.Errorf("%+v, want it to go on from %d", run, before.Progress.Position.Seq)
	}
	r.wantEqual()
}
