package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"chefsync/pkg/cloud/awserr"
)

// Report is what a reconcile did: names of schedules, sorted.
type Report struct {
	Created []string `json:"created,omitempty"`
	Updated []string `json:"updated,omitempty"` // also those that were only enabled or disabled
	Deleted []string `json:"deleted,omitempty"`
	Failed  []string `json:"failed,omitempty"`  // the error says why
	Foreign []string `json:"foreign,omitempty"` // in the group, but not ours: left alone
	Kept    int      `json:"kept"`              // as they should be already
}

// String is the report in a line.
func (r Report) String() string {
	s := fmt.Sprintf("%d created, %d updated, %d deleted, %d as they should be", len(r.Created), len(r.Updated), len(r.Deleted), r.Kept)
	if len(r.Failed) > 0 {
		s += fmt.Sprintf(", %d failed", len(r.Failed))
	}
	return s
}

// maxErrors is how many failures are told in full.
const maxErrors = 10

// Reconcile makes the schedules of the group those desired, which are all of
// them: what is missing is made, what differs is put right, what isn't desired
// any more is deleted. What isn't named like ours is never touched. A schedule
// that fails doesn't stop the others; the error joins the failures, the report
// names them all. Doing it again finishes what is left.
//
// When nothing has changed it calls ListSchedules alone, once for each 100
// schedules, if Seen knows them; those that it doesn't know are read as well.
func (g *Group) Reconcile(ctx context.Context, desired []Schedule) (Report, error) {
	if err := check(desired); err != nil {
		return Report{}, err
	}
	there, err := g.reader().list(ctx)
	if err != nil {
		return Report{}, err
	}
	run, todo := g.plan(there, desired)
	each(ctx, g.concurrency(), todo, func(t task) { run.do(ctx, t) })
	return run.end(ctx, len(todo))
}

// Clear deletes all our schedules of the group, for the removal of a stack.
// Without the group there is nothing to delete.
func (g *Group) Clear(ctx context.Context) (Report, error) {
	there, err := g.reader().list(ctx)
	if awserr.Missing(err) {
		return Report{}, nil
	}
	if err != nil {
		return Report{}, err
	}
	run, todo := g.plan(there, nil)
	each(ctx, g.concurrency(), todo, func(t task) { run.do(ctx, t) })
	return run.end(ctx, len(todo))
}

// task is one schedule that needs a look.
type task struct {
	Schedule
	there bool // listed
	gone  bool // to be deleted
}

// run is the work of one reconcile.
type run struct {
	group  *Group
	reader reader

	mu     sync.Mutex
	report Report
	errs   []error
	done   int
}

// plan says what needs a look, what fires but shouldn't first.
func (g *Group) plan(there []types.ScheduleSummary, desired []Schedule) (*run, []task) {
	r := &run{group: g, reader: g.reader()}
	listed := map[string]types.ScheduleSummary{}
	for _, s := range there {
		listed[aws.ToString(s.Name)] = s
	}
	maps.DeleteFunc(g.Seen, func(name string, _ Sighting) bool { _, ok := listed[name]; return !ok })
	var todo, later []task
	for _, s := range desired {
		have, exists := listed[s.Name]
		delete(listed, s.Name)
		switch t := (task{Schedule: s, there: exists}); {
		case exists && have.State == state(s.Enabled) && g.knows(have, s.settings().definition()):
			r.report.Kept++
		case exists && !s.Enabled && have.State != types.ScheduleStateDisabled:
			todo = append(todo, t)
		default:
			later = append(later, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if !ours.MatchString(name) {
			r.report.Foreign = append(r.report.Foreign, name)
			continue
		}
		todo = append(todo, task{Schedule: Schedule{Name: name}, gone: true})
	}
	return r, append(todo, later...)
}

// knows tells whether a listed schedule is known to have a definition.
func (g *Group) knows(listed types.ScheduleSummary, definition string) bool {
	seen, ok := g.Seen[aws.ToString(listed.Name)]
	return ok && listed.LastModificationDate != nil && seen.Modified.Equal(*listed.LastModificationDate) && seen.Definition == definition
}

// change is what was done about a schedule.
type change int

const (
	kept change = iota
	created
	updated
	deleted
)

// do does a task and notes what came of it.
func (r *run) do(ctx context.Context, t task) {
	what, err := deleted, error(nil)
	if t.gone {
		err = r.group.explain(ctx, "delete", t.Name, t.Of, r.group.remove(ctx, r.reader, t.Name))
	} else {
		what, err = r.put(ctx, t)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	switch {
	case err != nil:
		r.report.Failed = append(r.report.Failed, t.Name)
		r.errs = append(r.errs, err)
	case what == created:
		r.report.Created = append(r.report.Created, t.Name)
	case what == updated:
		r.report.Updated = append(r.report.Updated, t.Name)
	case what == deleted:
		r.report.Deleted = append(r.report.Deleted, t.Name)
	default:
		r.report.Kept++
	}
}

// races is how often a schedule is tried that comes and goes under our hands.
const races = 3

// put makes or changes a schedule. Another reconciler may make it, change it or
// delete it at any moment.
func (r *run) put(ctx context.Context, t task) (what change, err error) {
	there := t.there
	for attempt := range races {
		if attempt > 0 && r.reader.sleep(ctx, backoff(attempt)) != nil {
			return what, err
		}
		if !there {
			if err = r.create(ctx, t); !conflict(err) {
				return created, err
			}
		}
		if what, err = r.adjust(ctx, t); !awserr.Missing(err) {
			return what, err
		}
		there = false
	}
	return what, err
}

// create makes a schedule; a conflict says that it is there.
func (r *run) create(ctx context.Context, t task) error {
	err := r.reader.try(ctx, passing, func() error {
		_, err := r.group.API.CreateSchedule(ctx, t.settings().create(r.group.Name, t.Name))
		return err
	})
	return r.group.explain(ctx, "create", t.Name, t.Of, err)
}

// adjust reads a schedule and updates it if it differs.
func (r *run) adjust(ctx context.Context, t task) (change, error) {
	got, err := r.reader.get(ctx, t.Name)
	if err != nil {
		return kept, r.group.explain(ctx, "read", t.Name, t.Of, err)
	}
	has, want := settingsOf(got), t.settings()
	if has.State == want.State && has.definition() == want.definition() {
		r.saw(t.Name, Sighting{Modified: aws.ToTime(got.LastModificationDate), Definition: has.definition()})
		return kept, nil
	}
	return updated, r.group.explain(ctx, "update", t.Name, t.Of, r.group.update(ctx, r.reader, t.Name, want))
}

// saw remembers a schedule as it was read, with the time of that very answer.
func (r *run) saw(name string, s Sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.group.Seen == nil {
		r.group.Seen = Seen{}
	}
	r.group.Seen[name] = s
}

// end sums up the work of so many tasks.
func (r *run) end(ctx context.Context, tasks int) (Report, error) {
	for _, list := range [][]string{r.report.Created, r.report.Updated, r.report.Deleted, r.report.Failed} {
		slices.Sort(list)
	}
	for _, name := range slices.Concat(r.report.Created, r.report.Updated, r.report.Deleted, r.report.Failed) {
		delete(r.group.Seen, name)
	}
	slices.SortFunc(r.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	errs := r.errs
	if more := len(errs) - maxErrors; more > 0 {
		errs = append(errs[:maxErrors:maxErrors], fmt.Errorf("and %d schedules more", more))
	}
	if left := tasks - r.done; left > 0 && ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("reconcile the schedules of %s: %d of %d left: %w", r.group.Name, left, tasks, context.Cause(ctx)))
	}
	return r.report, errors.Join(errs...)
}
