package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/cloud"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func newVerifyCmd(env *cmdline.Env) *cobra.Command {
	var repair, yes, remote bool
	var files string
	cmd := &cobra.Command{
		Use:     "verify [PAIR...]",
		Short:   "Compare all objects on both sides",
		GroupID: cmdline.GroupCheck,
		Long: `Read every object on both sides, compare them, and list all differences. Objects
that were changed or deleted on the replica are distinguished from changes of the
primary that no pass has applied yet. Objects that exist only on the replica are
listed, but count as differences only with prune = "all". Nothing is written to the
servers; the result is recorded for sync-status and runs.

With --files, the replica's cookbook files are also downloaded and checked against
their MD5; with --files=5%, a different sample each time. A damaged file is listed
with the cookbook versions that need it.

With --repair, changes that others made on the replica are undone; each object is
read back and listed. Changes of the primary are left to the next pass. The prune
rule and the brake apply as always: deletions may be held for approval. A pair that
is stopped or being processed is left unchanged. Damaged files are uploaded again. A
Chef Infra Server doesn't accept a file that it assumes to have: in that case, the
cookbook versions that need it are deleted on the replica and created again, one
after the other. Until then, nodes don't find these versions, and permissions that
were set on such a cookbook itself are lost.

With --remote, the stack's function does the work, from where it runs, and returns
the number of differences; "chef-sync-ctl runs" and the log list them.

Exits with code 0 only if everything was read and is equal, with 6 if there are
differences, with 3 if something could not be read, and with 7 if deletions of a
repair are held.`,
		Example: `  chef-sync-ctl verify engineering
  chef-sync-ctl verify eu/engineering -o json
  chef-sync-ctl verify eu/engineering --repair
  chef-sync-ctl verify engineering --files=5%
  chef-sync-ctl verify eu/engineering --files --repair
  chef-sync-ctl verify engineering --remote --stack chef-sync`,
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "undo what others changed on the replica")
	cmd.Flags().StringVar(&files, "files", "0%", "also check the content of cookbook files: all, or a share such as 5%")
	cmd.Flags().Lookup("files").NoOptDefVal = "100%"
	cmd.Flags().BoolVar(&remote, "remote", false, "on a stack: run it in the stack's function")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "with --repair: don't ask")
	env.TakePairs(cmd)
	cmd.PreRun = func(*cobra.Command, []string) { env.TellsAll = true }
	cmd.RunE = env.WithPairsIf(func() bool { return repair }, func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		share, err := parseShare(files)
		if err != nil {
			return err
		}
		if remote {
			return verifyRemote(ctx, env, a, pairs, repair, share > 0)
		}
		o := replication.VerifyOptions{Trigger: replication.TriggerManual, Repair: repair, Files: share}
		if repair {
			if err := env.Confirm(ctx, yes, repairQuestion(o, app.PairNames(pairs))); err != nil {
				return err
			}
		}
		a.KeepLog()
		reports, failed := verifyPairs(ctx, env, a, pairs, o)
		if len(reports) > 0 || failed == nil {
			err := env.Output().Emit(reports, func(t *ui.Grid) {
				for _, r := range reports {
					showReport(t, r)
				}
				summarizeReports(t, reports)
			})
			if err != nil {
				return err
			}
		}
		if failed != nil {
			return app.HintRemote(a, failed, "chef-sync-ctl verify --remote")
		}
		return exit.Silent(exitCodeOf(reports))
	})
	return cmd
}

// verifyPairs verifies each pair. The error joins those of the pairs; the reports are those
// of the others, and of pairs that were compared but could not be recorded or repaired.
func verifyPairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, o replication.VerifyOptions) ([]replication.Report, error) {
	reports := []replication.Report{}
	progress := env.Output().NewProgress(len(pairs))
	defer progress.End()
	a.OnProgress = progress.Observe
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		defer progress.EndPair(p.ID)
		engine, err := a.Engine(ctx, p)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		r, err := engine.Verify(ctx, o)
		if err == nil || len(r.Kinds) > 0 {
			reports = append(reports, r)
		}
		return app.WrapPair(p.ID, err)
	})
	return reports, failed
}

// parseShare reads "5%" as a share of 1.
func parseShare(s string) (float64, error) {
	n, ok := strings.CutSuffix(s, "%")
	percent, err := strconv.ParseFloat(n, 64)
	if !ok || err != nil || !(percent >= 0 && percent <= 100) {
		return 0, exit.Usagef("write --files for all of them, or a share such as --files=5%", "%q isn't a percentage", s)
	}
	return percent / 100, nil
}

// repairQuestion says what a repair may do.
func repairQuestion(o replication.VerifyOptions, pairs string) string {
	question := "Repair what was changed on the replica of " + pairs
	if o.Files > 0 {
		question += ", and delete and recreate cookbook versions with damaged files that the server doesn't accept otherwise"
	}
	return question
}

// exitCodeOf is the exit code for what a verification found.
func exitCodeOf(reports []replication.Report) (code exit.Code) {
	for _, r := range reports {
		switch {
		case r.Outcome == replication.OutcomeHeld:
			code = exit.Worst(code, exit.Held)
		case len(r.Differences) > 0:
			code = exit.Worst(code, exit.Differences)
		case len(r.Unreadable) > 0 || r.Outcome == replication.OutcomePartial:
			code = exit.Worst(code, exit.Partial)
		}
	}
	return code
}

// extrasShown bounds the objects of the replica's own that people are shown.
const extrasShown = 20

func showReport(t *ui.Grid, r replication.Report) {
	t.Line("%s, read at %s", t.Paint(ui.Bold, r.Pair.String()), ui.Stamp(r.At))
	t.Columns(ui.Column{Name: "KIND"}, ui.Column{Name: "PRIMARY", Numeric: true}, ui.Column{Name: "REPLICA", Numeric: true},
		ui.Column{Name: "EQUAL", Numeric: true})
	for _, k := range r.Kinds {
		color := ui.Green
		if k.Equal != k.Primary {
			color = ui.Red
		}
		t.Row(ui.KindName(k.Kind), ui.Number(k.Primary), ui.Number(k.Replica), t.Paint(color, ui.Number(k.Equal)))
	}
	listFindings(t, r)
	if r.Files > 0 {
		t.Line("%s checked on the replica", ui.Plural(r.Files, "file"))
	}
	concludeReport(t, r)
}

// listFindings lists the objects that differ, that were repaired or that could not be read.
func listFindings(t *ui.Grid, r replication.Report) {
	t.Columns() // none of them has a name
	row := func(color ui.Color, letter string, ref object.Ref, note string) {
		t.Row(t.Paint(color, letter), ui.Quote(ref.Path()), note)
	}
	for _, d := range r.Repaired {
		row(ui.Green, "=", d.Ref, "repaired: "+d.Note)
	}
	for _, d := range r.Differences {
		row(ui.LetterColor(d.Letter), d.Letter, d.Ref, d.Note)
		for _, v := range d.Versions[min(1, len(d.Versions)):] {
			t.Row("", "  "+ui.Quote(v.Path()), "")
		}
	}
	for _, u := range r.Unreadable {
		row(ui.LetterColor(ui.LetterUnreadable), ui.LetterUnreadable, u.Ref, "could not be read: "+u.Reason)
	}
	for _, ref := range r.Extras[:min(len(r.Extras), extrasShown)] {
		row(ui.Faint, "+", ref, "only on the replica; kept by the prune rule")
	}
	if n := len(r.Extras) - extrasShown; n > 0 {
		t.Line("%s  and %s; -o json lists them all", t.Paint(ui.Faint, "+"), ui.Plural(n, "more object"))
	}
}

// summarizeReports counts in a line how several pairs are.
func summarizeReports(t *ui.Grid, reports []replication.Report) {
	if len(reports) < 2 {
		return
	}
	equal, differences, unreadable := 0, 0, 0
	for _, r := range reports {
		if r.Equal() {
			equal++
		}
		differences += len(r.Differences)
		unreadable += len(r.Unreadable)
	}
	line := ui.Plural(len(reports), "pair") + ": " + ui.Number(equal) + " equal, " + ui.Plural(differences, "difference")
	if unreadable > 0 {
		line += ", " + ui.Plural(unreadable, "object") + " not read"
	}
	t.Line("%s", line)
}

// repairedWords counts what was repaired.
func repairedWords(list []replication.Difference) string {
	files := 0
	for _, d := range list {
		if d.Cause == replication.CauseDamaged {
			files++
		}
	}
	var parts []string
	if n := len(list) - files; n > 0 {
		parts = append(parts, ui.Plural(n, "object")+" changed on the replica")
	}
	if files > 0 {
		parts = append(parts, ui.Plural(files, "damaged file"))
	}
	words := strings.Join(parts, " and ")
	if len(list) == 1 {
		return words + " was repaired"
	}
	return words + " were repaired"
}

// concludeReport says in a line what it all means, and what to try.
func concludeReport(t *ui.Grid, r replication.Report) {
	again := "--repair"
	if slices.ContainsFunc(r.Differences, func(d replication.Difference) bool { return d.Cause == replication.CauseDamaged }) {
		again = "--files --repair"
	}
	switch drift, held := len(r.Drift()), r.CountHeld(); {
	case r.Equal() && len(r.Repaired) > 0:
		t.Line("%s", t.Paint(ui.Green, repairedWords(r.Repaired)+"; the replica now matches"))
	case r.Equal():
		t.Line("%s", t.Paint(ui.Green, "equal"))
	case len(r.Differences) == 0:
		t.Line("%s", t.Paint(ui.Yellow, "not everything could be read; no differences found"))
	case drift == 0 && held == len(r.Differences) && r.Hold != nil:
		t.Line("%s, none of them made on the replica: %s", t.Paint(ui.Red, ui.Plural(held, "difference")), r.Hold.Summary())
		t.Line("Try: %s", r.Hold.Hint(r.Pair))
	case drift == 0:
		t.Line("%s, none of them made on the replica. Try: chef-sync-ctl run --once %s", t.Paint(ui.Red, ui.Plural(len(r.Differences),
			"difference")), r.Pair)
	default:
		t.Line("%s, %d made on the replica. Try: chef-sync-ctl diff %s, then: chef-sync-ctl verify %s %s",
			t.Paint(ui.Red, ui.Plural(len(r.Differences), "difference")), drift, r.Pair, r.Pair, again)
	}
	switch r.Outcome {
	case replication.OutcomeHeld:
		t.Line("%s %s", t.Paint(ui.Red, "Held:"), r.Hold.Summary())
		t.Line("Try: %s", r.Hold.Hint(r.Pair))
	case replication.OutcomeStopped:
		t.Line("Not repaired: the pair is stopped. Try: chef-sync-ctl sync-start %s", r.Pair)
	case replication.OutcomePartial:
		t.Line("Not everything was repaired: changes wait for a pass. Try: chef-sync-ctl run --once %s", r.Pair)
	}
}

// remoteResult is what the stack's function found in a pair.
type remoteResult struct {
	Pair        replication.PairID `json:"pair"`
	Equal       bool               `json:"equal"`
	Differences int                `json:"differences"`
	Error       string             `json:"error,omitempty"`
	Hint        string             `json:"hint,omitempty"`
}

// verifyAtOnce is how many pairs the function verifies at once.
const verifyAtOnce = 4

// verifyRemote lets the stack's function verify pairs.
func verifyRemote(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, repair, files bool) error {
	switch {
	case a.Stack == nil:
		return exit.Usagef("add --stack NAME", "--remote needs a stack")
	case files:
		return exit.Usagef("leave out --remote; the function checks all files within verify_files_every",
			"--files can't be used with --remote")
	case repair:
		return exit.Usagef(`leave --remote out, or write drift = "repair" in the configuration`, "--repair can't be used with --remote")
	}
	verdicts := make([]remoteResult, len(pairs))
	failures := make([]error, len(pairs))
	app.ForEachParallel(pairs, verifyAtOnce, func(i int, p app.Pair) {
		answer, err := a.Stack.InvokeSync(ctx, cloud.SyncEvent{Pair: p.ID, Task: cloud.TaskVerify, Trigger: cloud.TriggerManual})
		verdicts[i] = remoteResult{Pair: p.ID, Equal: answer.Equal != nil && *answer.Equal, Differences: answer.Differ}
		if failures[i] = err; err != nil {
			verdicts[i].Error, verdicts[i].Hint = err.Error(), exit.Hint(err)
		}
	})
	if err := emitVerdicts(env, verdicts); err != nil {
		return err
	}
	code := exit.OK
	for i, v := range verdicts {
		failures[i] = app.WrapPair(v.Pair, failures[i])
		switch {
		case v.Differences > 0:
			code = exit.Worst(code, exit.Differences)
		case !v.Equal:
			code = exit.Worst(code, exit.Partial)
		}
	}
	if err := exit.Join(failures...); err != nil {
		return err
	}
	return exit.Silent(code)
}

func emitVerdicts(env *cmdline.Env, verdicts []remoteResult) error {
	return env.Output().Emit(verdicts, func(t *ui.Grid) {
		t.Head("PAIR", "RESULT", "DIFFERENCES")
		for _, v := range verdicts {
			word := t.Paint(ui.Green, "equal")
			switch {
			case v.Error != "":
				word = t.Paint(ui.Red, "failed")
			case v.Differences > 0:
				word = t.Paint(ui.Red, "differs")
			case !v.Equal:
				word = t.Paint(ui.Yellow, "not everything could be read")
			}
			t.Row(v.Pair.String(), word, strconv.Itoa(v.Differences))
		}
	})
}
