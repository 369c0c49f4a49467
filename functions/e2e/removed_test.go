package e2e

import (
	"strings"
	"testing"
)

// TestAPairThatWasTakenOutGoesOnWhereItWas: its records stay, and what was taken out by
// mistake isn't compared whole when it is back.
func TestAPairThatWasTakenOutGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.pass()
	before := r.record()
	without := strings.ReplaceAll(r.config(), `"acme"`, `"lab"`)
	if status, reason := r.cloudFormation("Update", without); status != "SUCCESS" {
		t.Fatal(status, reason)
	}
	r.sync.Kill() // a warm environment looks at the configuration every five minutes
	if answer, _ := r.invoke(r.event()); answer.Run != nil && answer.Run.Mode != "" {
		t.Errorf("a pair that was taken out did %+v", answer.Run)
	}
	r.primary.org.PutRole("meanwhile", `{}`)
	r.mustDeploy()
	r.sync.Kill()
	if run := r.pass(); run.Mode != "changes" || run.From != before.Progress.Position.Seq {
		t.Errorf("%+v, want it to go on from %d", run, before.Progress.Position.Seq)
	}
	r.wantEqual()
}
