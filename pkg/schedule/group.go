package schedule

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/replication"
)

// Group is the schedule group of a stack. API and Name are needed. One goroutine
// may use it at a time; two groups of the same name don't harm each other.
type Group struct {
	API  API
	Name string
	// Seen is what reconciles have learned so far. A process may keep it as JSON
	// for the next one; without it, each schedule is read once more.
	Seen Seen
	// Concurrency bounds the calls under way, and so their rate; default 5, which
	// is about 100 calls a second.
	Concurrency int
	// Sleep waits before a call is tried again; default: as long as it is told.
	Sleep func(context.Context, time.Duration) error
}

// Seen remembers by name how schedules were defined when they were last read. An
// entry counts only as long as AWS says that the schedule hasn't been modified
// since, so that losing it, or keeping an old one, does no harm.
type Seen map[string]Sighting

// Sighting is an entry of Seen.
type Sighting struct {
	Modified   time.Time `json:"modified"`
	Definition string    `json:"definition"` // a hash of all settings but the state
}

func (g *Group) reader() reader {
	sleep := g.Sleep
	if sleep == nil {
		sleep = realSleep
	}
	return reader{api: g.API, group: g.Name, sleep: sleep}
}

func (g *Group) concurrency() int { return cmp.Or(max(g.Concurrency, 0), concurrency) }

// explain says what went wrong with a schedule.
func (g *Group) explain(ctx context.Context, op, name, of string, err error) error {
	if of != "" {
		name += " of " + of
	}
	return awserr.Explain(ctx, op+" schedule "+name, g.reader().String(), err)
}

// Disable disables the schedule of a pair, for sync-stop. A schedule that isn't
// there is as good as disabled.
func (g *Group) Disable(ctx context.Context, id replication.PairID) error {
	return g.turn(ctx, id, types.ScheduleStateDisabled)
}

// Enable enables the schedule of a pair, for sync-start. The error has class
// Absent when there is none: the manager makes it when it next runs, if the pair
// is in the stack's configuration.
func (g *Group) Enable(ctx context.Context, id replication.PairID) error {
	return g.turn(ctx, id, types.ScheduleStateEnabled)
}

// turn gives a schedule another state and leaves the rest as it is. Who changes
// it between the two calls loses that change, until the next reconcile.
func (g *Group) turn(ctx context.Context, id replication.PairID, to types.ScheduleState) error {
	r, name, of, op := g.reader(), PairName(id), "pair "+id.String(), "enable"
	if to == types.ScheduleStateDisabled {
		op = "disable"
	}
	got, err := r.get(ctx, name)
	if err == nil && got.State != to {
		change := settingsOf(got)
		change.State = to
		err = g.update(ctx, r, name, change)
	}
	switch {
	case awserr.Missing(err) && to == types.ScheduleStateDisabled:
		return nil
	case awserr.Missing(err):
		return &replication.Error{
			Op: fmt.Sprintf("%s schedule %s of %s", op, name, of), Server: r.String(), Class: replication.Absent, Err: err,
			Hint: "the stack's manager makes it when it next runs, if the pair is in the configuration of the stack",
		}
	}
	return g.explain(ctx, op, name, of, err)
}

// update replaces all settings of a schedule.
func (g *Group) update(ctx context.Context, r reader, name string, to settings) error {
	return r.try(ctx, contested, func() error {
		_, err := g.API.UpdateSchedule(ctx, to.update(g.Name, name))
		return err
	})
}

// remove deletes a schedule. One that isn't there is as good as deleted.
func (g *Group) remove(ctx context.Context, r reader, name string) error {
	err := r.try(ctx, contested, func() error {
		_, err := g.API.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{GroupName: &g.Name, Name: &name})
		return err
	})
	if awserr.Missing(err) {
		return nil
	}
	return err
}
