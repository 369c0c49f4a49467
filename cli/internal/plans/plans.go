// Package plans makes and shows plans: what the next pass would do.
package plans

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Options say what to plan and what to show.
type Options struct {
	Full, All, ExitCode, Prune, Summary bool

	// Change is what the operator would ask for before the pass, nil for nothing.
	Change func(replication.PairState) replication.DesiredChange
}

// changedState is a state that shows the desired state of pairs with a change that isn't made.
type changedState struct {
	replication.State
	change func(replication.PairState) replication.DesiredChange
}

// Pair implements [replication.State].
func (s changedState) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	st, err := s.State.Pair(ctx, id)
	st.Desired = st.Desired.With(s.change(st))
	return st, err
}

// Show prints what passes for the pairs would do.
func Show(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, opts Options) error {
	plans := []replication.Plan{}
	progress := env.Output().NewProgress(len(pairs))
	a.OnProgress = progress.Observe
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		defer progress.EndPair(p.ID)
		plan, err := opts.previewPair(ctx, a, p)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		if plan.Steps == nil {
			plan.Steps = []replication.Decision{} // a list in JSON, always
		}
		plans = append(plans, plan)
		return nil
	})
	progress.End()
	noteScans(ctx, env, a, pairs, plans)
	if len(plans) > 0 || failed == nil {
		err := env.Output().Emit(plans, func(t *ui.Grid) {
			if opts.Summary {
				printSummary(t, plans)
				return
			}
			for _, plan := range plans {
				opts.printPlan(t, plan, env.Format)
			}
		})
		if err != nil {
			return err
		}
	}
	if failed != nil {
		return app.HintRemote(a, failed, "")
	}
	code := exit.OK
	for _, plan := range plans {
		switch {
		case plan.Hold != nil:
			code = exit.Worst(code, exit.Held)
		case opts.ExitCode && plan.Writes() > 0:
			code = exit.Worst(code, exit.Differences)
		case len(plan.Failed) > 0:
			code = exit.Worst(code, exit.Partial)
		}
	}
	return exit.Silent(code)
}

// noteScans says how old the plans are whose changes come from scans, and what the scans
// could not read: what the primary changed since isn't in them.
func noteScans(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, plans []replication.Plan) {
	oldest := time.Time{}
	for _, plan := range plans {
		i := slices.IndexFunc(pairs, func(p app.Pair) bool { return p.ID == plan.Pair })
		if plan.Mode != replication.ModeChanges || i < 0 {
			continue
		}
		st, err := a.PairState(ctx, plan.Pair)
		if err != nil || st.Progress.Feed != changelog.Name {
			continue
		}
		last, err := a.LastScan(ctx, pairs[i].SourceOrg)
		for _, u := range last.Unread {
			if pairs[i].Includes(u.Kind) {
				env.Output().Note("%s: the scan has not read all %s: %s", plan.Pair, strings.ReplaceAll(u.Kind.ConfigName(), "_", " "), u.Error)
			}
		}
		if err == nil && !last.Good.IsZero() && (oldest.IsZero() || last.Good.Before(oldest)) {
			oldest = last.Good
		}
	}
	if !oldest.IsZero() {
		env.Output().Note("the primary was scanned %s; --full reads both sides now", ui.Age(oldest, env.Now()))
	}
}

// Print prints one plan.
func Print(env *cmdline.Env, plan replication.Plan) error {
	return env.Output().Emit(plan, func(t *ui.Grid) { Options{}.printPlan(t, plan, env.Format) })
}

func (opts Options) previewPair(ctx context.Context, a *app.App, p app.Pair) (replication.Plan, error) {
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return replication.Plan{}, err
	}
	if opts.Prune {
		engine.Pair.Prune = replication.PruneAll
	}
	if opts.Change != nil {
		engine.State = changedState{engine.State, opts.Change}
	}
	return engine.Preview(ctx, opts.Full || opts.Prune)
}

// count counts the steps of a plan by their action.
func count(plan replication.Plan) map[replication.Action]int {
	counts := map[replication.Action]int{}
	for _, s := range plan.Steps {
		counts[s.Action]++
	}
	return counts
}

// printSummary prints a line for each plan, and the totals of several.
func printSummary(t *ui.Grid, plans []replication.Plan) {
	t.Columns(ui.Column{Name: "PAIR"}, ui.Column{Name: "CREATE", Numeric: true}, ui.Column{Name: "UPDATE", Numeric: true},
		ui.Column{Name: "DELETE", Numeric: true}, ui.Column{Name: "HELD", Numeric: true, OnlyFilled: true},
		ui.Column{Name: "UNREADABLE", Numeric: true, OnlyFilled: true})
	sums, failed := map[replication.Action]int{}, 0
	row := func(name string, n map[replication.Action]int, failed int) {
		t.Row(name, ui.Number(n[replication.ActionCreate]), ui.Number(n[replication.ActionUpdate]), ui.Number(n[replication.ActionDelete]),
			ui.Number(n[replication.ActionHold]), ui.Number(failed))
	}
	for _, plan := range plans {
		counts := count(plan)
		row(plan.Pair.String(), counts, len(plan.Failed))
		for action, n := range counts {
			sums[action] += n
		}
		failed += len(plan.Failed)
	}
	if len(plans) > 1 {
		row(ui.Plural(len(plans), "pair"), sums, failed)
	}
}

// actionMark is the mark before a step: + ~ - or ! for what is not done.
func actionMark(a replication.Action) string {
	switch a {
	case replication.ActionCreate:
		return "+"
	case replication.ActionUpdate:
		return "~"
	case replication.ActionDelete:
		return "-"
	case replication.ActionHold:
		return "!"
	}
	return "="
}

// printPlan prints one plan, in Markdown with the head of a table.
func (opts Options) printPlan(t *ui.Grid, plan replication.Plan, format ui.Format) {
	counts, shown := count(plan), len(plan.Failed)
	for _, s := range plan.Steps {
		if opts.shows(s) {
			shown++
		}
	}
	if shown == 0 && plan.Hold == nil {
		t.Line("%s: No changes.", t.Paint(ui.Bold, plan.Pair.String()))
		return
	}
	t.Line("%s: %s%s", t.Paint(ui.Bold, plan.Pair.String()), plan.Mode, ui.Prefixed(", ", plan.Reason))
	if format == ui.Markdown {
		t.Head("ACTION", "OBJECT", "REASON")
	}
	if format == ui.Table && !opts.All && shown > maxUngrouped {
		printGroups(t, plan.Steps, opts.shows)
	} else {
		for _, s := range plan.Steps {
			if opts.shows(s) {
				printStep(t, s)
			}
		}
	}
	for _, u := range plan.Failed {
		t.Row("  "+t.Paint(ui.Yellow, "! unsynced"), ui.Quote(u.Ref.Path()), u.Reason)
	}
	held := ""
	if n := counts[replication.ActionHold]; n > 0 {
		held = fmt.Sprintf(" %d held,", n)
	}
	t.Line("%d to create, %d to update, %d to delete,%s %d equal", counts[replication.ActionCreate], counts[replication.ActionUpdate],
		counts[replication.ActionDelete], held, counts[replication.ActionSkip]+counts[replication.ActionAdopt])
	switch h := plan.Hold; {
	case h == nil:
	case h.Primary != "":
		t.Line("%s %s", t.Paint(ui.Red, "Held:"), h.Summary())
		t.Line("Try: %s", h.Hint(plan.Pair))
	default:
		t.Line("%s %s", t.Paint(ui.Red, "Held:"), h.Summary())
		t.Line("Try: chef-sync-ctl sync-start %s --allow-deletes %d", plan.Pair, h.Deletes)
	}
}

func printStep(t *ui.Grid, s replication.Decision) {
	t.Row("  "+t.Paint(actionColor(s.Action), actionMark(s.Action)+" "+string(s.Action)), ui.Quote(s.Ref.Path()), s.Reason)
}

// maxUngrouped is the most steps of a pair that are listed without groups, and maxFolded the
// most of an action in a group that are listed before the others are counted.
const (
	maxUngrouped = 40
	maxFolded    = 5
)

// group is the steps of one kind, those that take something away apart from the others,
// which come long before them.
type group struct {
	kind  object.Kind
	takes bool
}

// printGroups prints a long plan by kind, in the order of the plan. Creations and updates
// are cut short; each deletion is named.
func printGroups(t *ui.Grid, steps []replication.Decision, shows func(replication.Decision) bool) {
	var order []group
	groups := map[group][]replication.Decision{}
	for _, s := range steps {
		if !shows(s) {
			continue
		}
		g := group{s.Ref.Kind, takesAway(s.Action)}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], s)
	}
	for _, g := range order {
		printGroup(t, g, groups[g])
	}
}

func printGroup(t *ui.Grid, g group, steps []replication.Decision) {
	counts, listed := count(replication.Plan{Steps: steps}), map[replication.Action]int{}
	var words []string
	for _, a := range []replication.Action{replication.ActionCreate, replication.ActionUpdate, replication.ActionDelete, replication.ActionHold} {
		if n := counts[a]; n > 0 && a == replication.ActionHold {
			words = append(words, ui.Number(n)+" held")
		} else if n > 0 {
			words = append(words, ui.Number(n)+" to "+string(a))
		}
	}
	t.Line("  %s: %s", t.Paint(ui.Bold, ui.KindName(g.kind)), strings.Join(words, ", "))
	for _, s := range steps {
		if listed[s.Action]++; g.takes || counts[s.Action] <= maxFolded+1 || listed[s.Action] <= maxFolded {
			printStep(t, s)
		}
	}
	for _, a := range []replication.Action{replication.ActionCreate, replication.ActionUpdate} {
		if n := counts[a] - maxFolded; n > 1 {
			t.Line("  %s and %s more to %s; -o wide lists them", t.Paint(actionColor(a), actionMark(a)), ui.Number(n), string(a))
		}
	}
}

// takesAway reports whether an action deletes, or would.
func takesAway(a replication.Action) bool {
	return a == replication.ActionDelete || a == replication.ActionHold
}

// shows reports whether a step is shown.
func (opts Options) shows(s replication.Decision) bool {
	return opts.All || s.Action != replication.ActionSkip && s.Action != replication.ActionAdopt
}

func actionColor(a replication.Action) ui.Color {
	switch a {
	case replication.ActionCreate:
		return ui.Green
	case replication.ActionUpdate:
		return ui.Cyan
	case replication.ActionDelete, replication.ActionHold:
		return ui.Red
	}
	return ui.Faint
}
