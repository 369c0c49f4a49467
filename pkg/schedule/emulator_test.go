package schedule_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"chefsync/pkg/schedule"
	"chefsync/pkg/schedule/scheduletest"
)

// endpointName names an AWS on which the life of a group is played through.
const endpointName = "CHEFSYNC_AWS_ENDPOINT"

func TestTheLifeOfAGroupOnTheFake(t *testing.T) { live(t, scheduletest.New("life"), "life") }

func TestTheLifeOfAGroupOnAnEmulator(t *testing.T) {
	endpoint := os.Getenv(endpointName)
	if endpoint == "" {
		t.Skipf("SKIPPED: %s isn't set", endpointName)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("us-east-1"), config.WithBaseEndpoint(endpoint),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	c, name := scheduler.NewFromConfig(cfg), fmt.Sprintf("chefsync-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	if _, err := c.CreateScheduleGroup(t.Context(), &scheduler.CreateScheduleGroupInput{Name: &name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.DeleteScheduleGroup(context.Background(), &scheduler.DeleteScheduleGroupInput{Name: &name}); err != nil {
			t.Error(err)
		}
	})
	live(t, c, name)
}

// live plays the life of a group through, from the first deployment to the
// removal.
func live(t *testing.T, api schedule.API, name string) {
	g := &schedule.Group{API: api, Name: name}
	follow := func(all []schedule.Schedule, want string) {
		t.Helper()
		if report := reconcile(t, g, all); report.String() != want {
			t.Errorf("%s; want %s", report, want)
		}
	}
	all := desired(t, pairs(110)...)
	follow(all, "110 created, 0 updated, 0 deleted, 0 as they should be")
	follow(all, "0 created, 0 updated, 0 deleted, 110 as they should be")
	if len(g.Seen) != 110 {
		t.Errorf("%d schedules are known by now, want all", len(g.Seen))
	}

	all[3].Minutes, all[4].Enabled = 1, false
	follow(all[2:], "0 created, 2 updated, 2 deleted, 106 as they should be")
	follow(all[2:], "0 created, 0 updated, 0 deleted, 108 as they should be")

	if err := g.Disable(t.Context(), pairs(110)[5]); err != nil {
		t.Fatal(err)
	}
	sent := &inbox{}
	tick := &schedule.Tick{API: api, Group: name, Invoker: sent}
	if fired, err := tick.Once(t.Context()); err != nil || len(fired) != 106 || len(sent.events) != 106 {
		t.Errorf("fired %d, %v; want all but the two that are disabled", len(fired), err)
	}
	if events := strings.Join(sent.events, "\n"); strings.Contains(events, "eu/org-0004") || strings.Contains(events, "eu/org-0005") || !strings.Contains(events, "eu/org-0006") {
		t.Errorf("events:\n%s", events)
	}
	if err := g.Enable(t.Context(), pairs(110)[5]); err != nil {
		t.Fatal(err)
	}
	follow(all[2:], "0 created, 0 updated, 0 deleted, 108 as they should be")
	if report, err := g.Clear(t.Context()); err != nil || len(report.Deleted) != 108 {
		t.Errorf("cleared: %s, %v", report, err)
	}
}
