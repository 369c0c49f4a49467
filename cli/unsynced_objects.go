package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// unsyncedRow is one unsynced object of one pair.
type unsyncedRow struct {
	Pair replication.PairID `json:"pair"`
	replication.Unsynced
	// Requested: the next pass tries it, whatever its time.
	Requested bool `json:"retry_requested,omitempty"`

	held int // deletions of the pair that wait for approval, also those that aren't listed
}

// nextTryText says when it is tried again.
func (r unsyncedRow) nextTryText(now time.Time) string {
	switch {
	case r.Requested:
		return "next pass"
	case !r.NextTry.After(now):
		return "due"
	}
	return ui.Age(r.NextTry, now)
}

func newUnsyncedObjectsCmd(env *cmdline.Env) *cobra.Command {
	var retry, exitCode bool
	cmd := &cobra.Command{
		Use:     "unsynced-objects [PAIR...] [OBJECT...]",
		Short:   "List objects that could not be replicated, and held deletions",
		GroupID: cmdline.GroupLook,
		Long: `List the objects that could not be replicated, with the reason, the number of
attempts and the time of the next one. They are retried automatically, at increasing
intervals, and immediately when they change on the primary. Deletions that wait for
approval are listed too, with the class held; they are never retried automatically.

--retry makes the next pass try them again: the named objects, or all.`,
		Example: `  chef-sync-ctl unsynced-objects engineering
  chef-sync-ctl unsynced-objects eu/engineering /cookbooks/apache2/2.0.0
  chef-sync-ctl unsynced-objects engineering 'cookbooks/*'
  chef-sync-ctl unsynced-objects engineering --retry
  chef-sync-ctl unsynced-objects engineering /roles/web --retry
  chef-sync-ctl unsynced-objects engineering --exit-code -o json`,
	}
	cmd.Flags().BoolVar(&retry, "retry", false, "retry the named objects, or all, in the next pass")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with code 6 if there are unsynced objects, 7 if deletions are held")
	env.TakePairs(cmd)
	cmd.RunE = env.WithObjectsIf(func() bool { return retry }, func(ctx context.Context, a *app.App, pairs []app.Pair, objects cmdline.Objects) error {
		rows, failed := listUnsynced(ctx, a, pairs, objects)
		if retry {
			failed = exit.Join(failed, retryPairs(ctx, env, a, pairs, rows, !objects.Named()))
			rows, _ = listUnsynced(ctx, a, pairs, objects) // as they are now; errors were reported above
		}
		if len(rows) == 0 && failed != nil {
			return failed
		}
		if err := cmp.Or(emitUnsynced(env, rows), failed); err != nil {
			return err
		}
		switch {
		case exitCode && slices.ContainsFunc(rows, unsyncedRow.isHeld):
			return exit.Silent(exit.Held)
		case exitCode && len(rows) > 0:
			return exit.Silent(exit.Differences)
		}
		return nil
	})
	return cmd
}

// listUnsynced lists those of each pair. The error says whose can't be read, or
// which of the named objects is nowhere among them.
func listUnsynced(ctx context.Context, a *app.App, pairs []app.Pair, only cmdline.Objects) ([]unsyncedRow, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	rows := []unsyncedRow{}
	found := map[object.Ref]bool{}
	isNamed := func(r object.Ref) bool {
		named := only.Matches(r)
		for _, n := range only.Refs {
			if object.ScopeOf(n).Contains(r) {
				found[n], named = true, true
			}
		}
		return named
	}
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		entries, err := state.Entries(ctx, p.ID)
		list := entries.Unsynced()
		if err != nil || len(list) == 0 {
			return app.WrapPair(p.ID, err)
		}
		st, err := state.Pair(ctx, p.ID)
		asked, named := st.RetryAsked(), st.Desired.RetryOnly
		held := countHeld(list)
		for _, u := range list {
			if !only.Named() || isNamed(u.Ref) {
				rows = append(rows, unsyncedRow{p.ID, u, asked && (len(named) == 0 || slices.Contains(named, u.Ref)), held})
			}
		}
		return app.WrapPair(p.ID, err)
	})
	for _, ref := range only.Refs {
		if !found[ref] {
			failed = exit.Join(failed, exit.With(exit.NotFound, fmt.Errorf("%s is not among the unsynced objects", ref),
				"chef-sync-ctl unsynced-objects "+pairs[0].ID.String()))
		}
	}
	return rows, failed
}

// retryPairs asks for the rows to be tried again, or for all unsynced objects of their pairs.
// Those that were asked for before and that no pass has tried are asked for again.
func retryPairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, rows []unsyncedRow, all bool) error {
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	now := env.Now()
	named := map[replication.PairID][]object.Ref{}
	for _, r := range rows {
		named[r.Pair] = append(named[r.Pair], r.Ref)
	}
	return app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		id, refs := p.ID, named[p.ID]
		if len(refs) == 0 {
			return nil
		}
		what := ui.Plural(len(refs), "unsynced object")
		if len(refs) == 1 {
			what = refs[0].Path()
		}
		st, err := state.Pair(ctx, id)
		if err != nil {
			return app.WrapPair(id, err)
		}
		if all || len(refs) > replication.MaxRetryOnly {
			what, refs = "all unsynced objects", nil
		}
		refs = withRetriesAsked(st, refs)
		if err := state.ChangeDesired(ctx, id, replication.DesiredChange{Retry: &now, RetryOnly: refs, At: now}); err != nil {
			return app.WrapPair(id, err)
		}
		env.Output().Note("%s: the next pass tries %s again", id, what)
		return nil
	})
}

// withRetriesAsked adds the objects that the operator asked for before to those to be tried
// again. None means all.
func withRetriesAsked(st replication.PairState, refs []object.Ref) []object.Ref {
	before := st.Desired.RetryOnly
	switch {
	case len(refs) == 0 || !st.RetryAsked():
		return refs
	case len(before) == 0:
		return nil
	}
	refs = slices.Concat(refs, before)
	slices.SortFunc(refs, object.Compare)
	if refs = slices.Compact(refs); len(refs) > replication.MaxRetryOnly {
		return nil
	}
	return refs
}

func emitUnsynced(env *cmdline.Env, rows []unsyncedRow) error {
	return env.Output().Emit(rows, func(t *ui.Grid) {
		if len(rows) == 0 {
			t.Line("no unsynced objects")
			return
		}
		now := env.Now()
		for len(rows) > 0 { // each hint stands below its objects
			hint := rows[0].hint()
			mine := slices.DeleteFunc(slices.Clone(rows), func(r unsyncedRow) bool { return r.hint() != hint })
			rows = slices.DeleteFunc(slices.Clone(rows), func(r unsyncedRow) bool { return r.hint() == hint })
			showUnsynced(t, mine, now)
			if !mine[0].isHeld() {
				if hint != "" {
					t.Line("  Try: %s", hint)
				}
				continue
			}
			for _, approval := range approvalHints(mine) {
				t.Line("  Try: %s", approval)
			}
		}
	})
}

// hint is what to try, which held deletions share.
func (r unsyncedRow) hint() string {
	if r.isHeld() {
		return string(fault.DeletionHeld)
	}
	return r.Hint
}

func showUnsynced(t *ui.Grid, rows []unsyncedRow, now time.Time) {
	t.Columns(ui.Column{Name: "PAIR"}, ui.Column{Name: "OBJECT"}, ui.Column{Name: "CLASS", Drop: 1},
		ui.Column{Name: "ATTEMPTS", Numeric: true, Drop: 3, OnlyFilled: true}, ui.Column{Name: "FIRST SEEN", Drop: 2},
		ui.Column{Name: "NEXT TRY", OnlyFilled: true}, ui.Column{Name: "REASON", Breaks: true})
	for _, r := range rows {
		attempts, next, reason := strconv.Itoa(r.Attempts), r.nextTryText(now), ui.WithoutObject(r.Reason, r.Ref.Path(), r.Pair.Replica)
		if r.isHeld() {
			attempts, next = "-", "-"
		}
		if r.Items > 0 {
			reason += ", with " + ui.Plural(r.Items, "item")
		}
		t.Row(r.Pair.String(), ui.Quote(r.Ref.Path()), string(r.Class), attempts, ui.Age(r.FirstSeen, now), next, reason)
	}
}

// isHeld reports whether the row is of a deletion that waits for approval.
func (r unsyncedRow) isHeld() bool { return r.Class == fault.DeletionHeld }

// countHeld counts the deletions that wait for approval, with the items of data bags.
func countHeld(list []replication.Unsynced) (n int) {
	for _, u := range list {
		if u.Class == fault.DeletionHeld {
			n += 1 + u.Items
		}
	}
	return n
}

// approvalHints are what approves the held deletions of the pairs of the rows. An approval of
// fewer than all of them approves none.
func approvalHints(rows []unsyncedRow) (list []string) {
	for _, r := range rows {
		hint := fmt.Sprintf("chef-sync-ctl sync-start %s --allow-deletes %d", r.Pair, r.held)
		if r.isHeld() && !slices.Contains(list, hint) {
			list = append(list, hint)
		}
	}
	slices.Sort(list)
	return list
}
