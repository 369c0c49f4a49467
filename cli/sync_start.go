package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/plans"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// startFlags are the flags of sync-start.
type startFlags struct {
	from         string
	allowDeletes int
	newPrimary   bool
	dryRun       bool
	force        bool
	wait         ui.Duration
}

func newSyncStartCmd(env *cmdline.Env) *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use:     "sync-start PAIR...",
		Short:   "Resume pairs after sync-stop, and approve held deletions",
		GroupID: cmdline.GroupSync,
		Long: `Resume pairs that were stopped with sync-stop, and approve held deletions. A pair
is started when it is first configured, so you don't need this command to begin. The
work is done by "chef-sync-ctl run", or on a stack by its functions, within a
minute.

A pair that state export --stop moved to another state is refused, because two
processes would write to the same replica. Use --force to take it back, after you
have stopped it in the other state.

--allow-deletes N approves held deletions: one pass of each pair, within the next
hour, may delete up to N objects. With 0, held deletions are only reevaluated. A
pattern approves deletions for many pairs at once.

A pair that is held because the primary now has a different organization resumes
with --accept-new-primary: everything is compared, and deletions are held if they
exceed max_delete.`,
		Example: `  chef-sync-ctl sync-start engineering
  chef-sync-ctl sync-start eu/engineering --dry-run
  chef-sync-ctl sync-start eu/engineering --allow-deletes 120 --dry-run
  chef-sync-ctl sync-start eu/engineering --allow-deletes 120 --wait 5m
  chef-sync-ctl sync-start 'eu/*' '*/team-07' --allow-deletes 500`,
	}
	cmd.Flags().StringVar(&f.from, "from", "resume", "where to start: resume, or scratch for a full comparison")
	cmd.Flags().IntVar(&f.allowDeletes, "allow-deletes", -1, "let one pass delete up to `N` objects")
	cmd.Flags().BoolVar(&f.newPrimary, "accept-new-primary", false, "accept the organization that the primary now has")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what the next pass would do with these flags, and change nothing")
	cmd.Flags().Var(&f.wait, "wait", "wait until the pairs are in sync, at most this long")
	cmd.Flags().BoolVar(&f.force, "force", false, "start a pair here that was moved to another state")
	env.TakePairs(cmd)
	deletes := cmd.Flags().Lookup("allow-deletes")
	cmd.RunE = env.WithNamedPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		if f.from != "resume" && f.from != "scratch" {
			return exit.Usagef("", "--from can't be %q: expected resume or scratch", f.from)
		}
		if f.allowDeletes < 0 && deletes.Changed {
			return exit.Usagef("", "--allow-deletes can't be %d", f.allowDeletes)
		}
		if f.dryRun {
			return plans.Show(ctx, env, a, pairs, plans.Options{Change: func(st replication.PairState) replication.DesiredChange {
				_, change := f.newDesiredChange(st, env.Now())
				return change
			}})
		}
		return startPairs(ctx, env, a, pairs, f)
	})
	return cmd
}

func startPairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, f startFlags) error {
	since := env.Now()
	holds := map[replication.PairID]*replication.Hold{}
	answers, failed := control.ChangePairs(ctx, a, pairs, func(p app.Pair, st replication.PairState) (control.Answer, replication.DesiredChange, error) {
		if st.Desired.Moved != "" && !f.force {
			return control.Answer{}, replication.DesiredChange{}, movedError(p.ID, st.Desired.Moved)
		}
		holds[p.ID] = st.Progress.Hold
		result, change := f.newDesiredChange(st, env.Now())
		return control.Answer{Pair: p.ID, Result: result, Status: st.Status()}, change, nil
	})
	var held pairstatus.Notes
	var started []control.Answer
	for _, c := range answers {
		if c.Result == control.ResultHeld {
			held.Add(c.Pair, holds[c.Pair].Summary(), holds[c.Pair].Hint(c.Pair))
		} else {
			started = append(started, c)
		}
	}
	stillHeld := noteHeld(env, held.Lines(env.Output(), a.Pairs()))
	var late error
	if f.wait > 0 && failed == nil {
		late = control.WaitSynced(ctx, a, control.PairsWithAnswer(pairs, started), since, time.Duration(f.wait))
	}
	control.SetStatuses(ctx, a, answers, env.Now())
	if err := control.Print(env, answers, failed); err != nil {
		return err
	}
	return exit.Join(failed, stillHeld, late)
}

// noteHeld prints notes about pairs that are still held, if there are any, and returns the
// error for them.
func noteHeld(env *cmdline.Env, lines []ui.Text) error {
	if len(lines) == 0 {
		return nil
	}
	for _, line := range lines {
		env.Output().Note("%s", line)
	}
	return exit.Silent(exit.Held)
}

// movedError refuses a pair that another state has.
func movedError(id replication.PairID, place string) error {
	return exit.With(exit.Failed, fmt.Errorf("pair %s was moved to %s", id, place),
		"start it there; or, once it is stopped there, here: chef-sync-ctl sync-start "+id.String()+" --force")
}

// newDesiredChange returns the result for a pair that is started, and the change for it.
func (f startFlags) newDesiredChange(st replication.PairState, now time.Time) (control.Result, replication.DesiredChange) {
	d := replication.DesiredChange{Stop: new(false), Reason: new(""), Moved: new(""), At: now}
	result := control.ResultAlreadyStarted
	if st.Desired.Stopped {
		result = control.ResultStarted
	}
	if f.from == "scratch" {
		d.Resync, result = &now, control.ResultStarted
	}
	if f.allowDeletes >= 0 {
		d.AllowDeletes = &f.allowDeletes
	}
	d.AcceptPrimary = f.newPrimary
	switch h := st.Progress.Hold; {
	case h != nil && !f.approves(*h):
		result = control.ResultHeld
	case h != nil && f.allowDeletes > 0:
		result = control.ResultApproved
	case f.allowDeletes >= 0 || f.newPrimary:
		result = control.ResultStarted
	}
	return result, d
}

// approves reports whether the flags are what a hold waits for. With 0 allowed, what
// is held is decided again.
func (f startFlags) approves(h replication.Hold) bool {
	if h.Primary != "" {
		return f.newPrimary
	}
	return f.allowDeletes == 0 || f.allowDeletes >= h.Deletes
}
