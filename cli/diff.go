package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/contentdiff"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// diffFlags are the flags of diff.
type diffFlags struct {
	nameStatus, showValues, stat bool

	matched map[replication.Pattern]bool // patterns that an object of a pair matched
}

// diffRow is one difference of one pair, or an object that could not be read.
type diffRow struct {
	Pair                   replication.PairID `json:"pair"`
	replication.Difference                    // its letter is ? where an object could not be read
	Files                  []contentdiff.File `json:"files,omitempty"` // of a cookbook version, that differ
	Diff                   string             `json:"diff,omitempty"`  // unified; absent with --name-status
	// Why the object, or its content, could not be read, in the words of Unsynced.
	Class  fault.Class `json:"class,omitempty"`
	Reason string      `json:"reason,omitempty"`
	Hint   string      `json:"hint,omitempty"`
}

func newDiffCmd(env *cmdline.Env) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:     "diff [PAIR...] [OBJECT...]",
		Short:   "Show how a replica differs from the primary",
		GroupID: cmdline.GroupCheck,
		Long: `Show how a replica differs from the primary, for all objects, for the named ones, or
for those that match a pattern, written as in include in the configuration; a data bag
includes all its items. A stands for an object that the replica lacks, D for one that
only the replica has, M for different content, ? for one that could not be read. Lines
with + are the primary's. If a pair can't be compared, the others still are. For a
cookbook version, the files that differ are listed, and the lines of files that both
sides have are compared.

Exits with code 0 only if everything was read and is equal, with 6 if something
differs, with 3 if something could not be read, and with the code of the failure if
a pair could not be compared.

Values of data bag items are hidden unless you use --show-values; only whether they
differ is shown.`,
		Example: `  chef-sync-ctl diff engineering --name-status
  chef-sync-ctl diff eu/engineering /roles/web
  chef-sync-ctl diff eu/engineering 'cookbooks/*' 'roles/web*' --stat
  chef-sync-ctl diff eu/engineering data_bags/users/alice --show-values`,
	}
	cmd.Flags().BoolVar(&f.nameStatus, "name-status", false, "show only letters and names of objects, and of the files of changed cookbooks")
	cmd.Flags().BoolVar(&f.stat, "stat", false, "count changed lines instead of showing them")
	cmd.Flags().BoolVar(&f.showValues, "show-values", false, "show the values of data bag items")
	env.TakePairs(cmd)
	cmd.RunE = env.WithObjectsIf(nil, func(ctx context.Context, a *app.App, pairs []app.Pair, objects cmdline.Objects) error {
		f.matched = map[replication.Pattern]bool{}
		rows, failed := f.comparePairs(ctx, env, a, pairs, objects)
		if len(rows) > 0 || failed == nil {
			if err := f.printRows(env, rows); err != nil {
				return err
			}
		}
		if failed != nil {
			return app.HintRemote(a, failed, "")
		}
		return exit.Silent(diffCode(rows))
	})
	return cmd
}

// diffCode is the exit code for what was found.
func diffCode(rows []diffRow) (code exit.Code) {
	for _, r := range rows {
		if r.Letter == ui.LetterUnreadable {
			code = exit.Worst(code, exit.Partial)
		} else {
			code = exit.Worst(code, exit.Differences)
		}
	}
	return code
}

// comparePairs lists the differences of each pair. The error joins what kept pairs, or
// named objects, from being compared.
func (f diffFlags) comparePairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair,
	objects cmdline.Objects) (rows []diffRow, failed error) {
	rows = []diffRow{}
	progress := env.Output().NewProgress(len(pairs))
	defer progress.End()
	a.OnProgress = progress.Observe
	failed = app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		defer progress.EndPair(p.ID)
		list, err := f.comparePair(ctx, a, p, objects)
		rows = append(rows, list...)
		return app.WrapPair(p.ID, err)
	})
	for _, p := range objects.Patterns {
		if failed == nil && !f.matched[p] {
			return rows, exit.With(exit.NotFound, fmt.Errorf("no object matches %s", p), "chef-sync-ctl help selection")
		}
	}
	return rows, failed
}

// comparePair lists the differences of one pair, of all objects or of the named
// ones. A named object that isn't there doesn't stop the others.
func (f diffFlags) comparePair(ctx context.Context, a *app.App, p app.Pair, objects cmdline.Objects) (rows []diffRow, err error) {
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return nil, err
	}
	list, unreadable, err := f.listCandidates(ctx, engine, objects)
	failed := []error{err}
	for _, d := range list {
		row, err := f.compareObject(ctx, engine, d)
		if err == nil && row.Letter != "" {
			rows = append(rows, row)
		}
		failed = append(failed, err)
		if err != nil && exit.Of(err) != exit.NotFound {
			break // the error is the server's, or ours
		}
	}
	for _, u := range unreadable {
		rows = append(rows, diffRow{Pair: p.ID, Difference: replication.Difference{Ref: u.Ref, Letter: ui.LetterUnreadable},
			Class: u.Class, Reason: u.Reason, Hint: u.Hint})
	}
	return rows, exit.Join(failed...)
}

// listCandidates are the objects to look at: the named ones, whose letters aren't
// known yet, or those that a verification found to differ.
func (f diffFlags) listCandidates(ctx context.Context, e *replication.Engine, objects cmdline.Objects) ([]replication.Difference,
	[]replication.Unsynced, error) {
	if !objects.Named() {
		report, err := e.Verify(ctx, replication.VerifyOptions{Trigger: replication.TriggerManual})
		return report.Differences, report.Unreadable, err
	}
	var refs []object.Ref
	var failed []error
	add := func(r object.Ref) {
		if !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	for _, ref := range objects.Refs {
		if !e.Pair.Manages(ref) {
			failed = append(failed, exit.With(exit.NotFound, fmt.Errorf("%s does not belong to the pair %s", ref, e.Pair.ID),
				"check kinds, include and exclude of the organization"))
			continue
		}
		add(ref)
		items, err := listItems(ctx, e, ref)
		failed = append(failed, err)
		for _, item := range items {
			add(item)
		}
	}
	matching, err := f.listMatching(ctx, e, objects.Patterns)
	for _, ref := range matching {
		add(ref)
	}
	list := make([]replication.Difference, len(refs))
	for i, ref := range refs {
		list[i].Ref = ref
	}
	return list, nil, exit.Join(append(failed, err)...)
}

// listItems lists the items of a data bag that belong to the pair, on either side. Other
// objects have none.
func listItems(ctx context.Context, e *replication.Engine, bag object.Ref) ([]object.Ref, error) {
	if bag.Kind.Child() == "" {
		return nil, nil
	}
	items, err := listBoth(ctx, e, object.Scope{Kind: bag.Kind.Child(), Name: bag.Name})
	return slices.DeleteFunc(items, func(r object.Ref) bool { return !e.Pair.Manages(r) }), err
}

// listMatching lists the objects of a pair that match patterns, on either side.
func (f diffFlags) listMatching(ctx context.Context, e *replication.Engine, patterns []replication.Pattern) ([]object.Ref, error) {
	var found []object.Ref
	for _, p := range patterns {
		selection := replication.Selection{Include: []replication.Pattern{p}}
		matches := func(r object.Ref) bool { return e.Pair.Manages(r) && selection.Selects(r) }
		refs, err := listBoth(ctx, e, object.Scope{Kind: p.Kind})
		if err != nil {
			return nil, err
		}
		names := map[string]bool{}
		for _, r := range refs {
			if matches(r) && !names[r.Name] {
				items, err := listItems(ctx, e, r)
				if err != nil {
					return nil, err
				}
				refs, names[r.Name] = append(refs, items...), true
			}
		}
		refs = slices.DeleteFunc(refs, func(r object.Ref) bool { return !matches(r) })
		f.matched[p] = f.matched[p] || len(refs) > 0
		found = append(found, refs...)
	}
	slices.SortFunc(found, object.Compare)
	return slices.Compact(found), nil
}

// listBoth lists a scope on both sides. A side that lacks it has no objects there.
func listBoth(ctx context.Context, e *replication.Engine, scope object.Scope) (refs []object.Ref, err error) {
	for _, side := range []replication.Reader{e.Source, e.Target} {
		list, err := side.List(ctx, scope)
		if err != nil && !fault.IsAbsent(err) && fault.ClassOf(err) != fault.Unserved {
			return nil, err
		}
		refs = append(refs, list...)
	}
	return refs, nil
}

// compareObject reads both sides of one object. A letter that is known is kept. The error is
// one that keeps others from being read too, or says that no side has the object.
func (f diffFlags) compareObject(ctx context.Context, e *replication.Engine, d replication.Difference) (diffRow, error) {
	row := diffRow{Pair: e.Pair.ID, Difference: d}
	if f.nameStatus && d.Letter != "" && (d.Letter != "M" || !d.Ref.Kind.HasFiles()) {
		return row, nil
	}
	var sides [2]object.Object
	for i, side := range []replication.Reader{e.Source, e.Target} {
		var err error
		if sides[i], err = readObject(ctx, side, d.Ref); err != nil {
			if !concernsObject(ctx, side, err) {
				return row, err
			}
			return row.asUnreadable(err), nil
		}
	}
	primary, replica := sides[0].Body, sides[1].Body
	if d.Letter == "" {
		if primary == nil && replica == nil {
			return row, exit.With(exit.NotFound, fmt.Errorf("%s is on neither side", d.Ref), "")
		}
		row.Letter = letterOf(primary, replica)
	}
	files := contentdiff.Files(sides[1], sides[0])
	diff, err := contentdiff.Unified(d.Ref, replica, primary, files, f.showValues)
	if err != nil {
		return row.asUnreadable(&fault.Error{Op: "compare", Class: fault.Rejected, Err: err}), nil
	}
	if !f.nameStatus || row.Letter == "M" {
		row.Files = files
	}
	if row.Letter == "M" && d.Letter == "" && diff == "" && len(row.Files) == 0 {
		row.Letter = "" // equal
	}
	if !f.nameStatus {
		row.Diff = diff
		if primary != nil && replica != nil {
			row.Diff += contentdiff.CompareFiles(ctx, contentdiff.Side{Object: sides[1], Server: e.Target},
				contentdiff.Side{Object: sides[0], Server: e.Source}, row.Files)
		}
	}
	return row, nil
}

// asUnreadable says why a row's object could not be read.
func (r diffRow) asUnreadable(err error) diffRow {
	r.Letter = cmp.Or(r.Letter, ui.LetterUnreadable)
	r.Class, r.Reason, r.Hint = fault.ClassOf(err), err.Error(), exit.Hint(err)
	return r
}

// concernsObject reports whether an error is about one object only. What may be an error of the
// whole server is decided by another request, as in a pass.
func concernsObject(ctx context.Context, side replication.Reader, err error) bool {
	switch fault.ClassOf(err) {
	case fault.Rejected, fault.Forbidden, fault.Degraded:
		return true
	case fault.Local:
		return false
	}
	if ctx.Err() != nil {
		return false
	}
	_, err = side.List(ctx, object.Scope{Kind: object.Environment})
	return err == nil
}

func letterOf(primary, replica []byte) string {
	switch {
	case replica == nil:
		return "A"
	case primary == nil:
		return "D"
	}
	return "M"
}

// readObject reads one object; one without a body isn't on the server. The list says whether
// a bag exists: bags have no content.
func readObject(ctx context.Context, r replication.Reader, ref object.Ref) (object.Object, error) {
	if ref.Kind == object.DataBag {
		bags, err := r.List(ctx, object.Scope{Kind: object.DataBag})
		if err != nil || !slices.Contains(bags, ref) {
			return object.Object{}, err
		}
		return object.Object{Ref: ref, Body: []byte("{}")}, nil
	}
	o, err := r.Get(ctx, ref)
	if fault.IsAbsent(err) {
		return object.Object{}, nil
	}
	return o, err
}

func (f diffFlags) printRows(env *cmdline.Env, rows []diffRow) error {
	return env.Output().Emit(rows, func(t *ui.Grid) {
		for _, r := range rows {
			line := t.Paint(ui.LetterColor(r.Letter), r.Letter) + "\t" + ui.Safe(r.Pair.String()) + "\t" + ui.Quote(r.Ref.Path())
			if r.Reason != "" {
				line += "\tcould not be read: " + ui.Safe(r.Reason)
			}
			t.Line("%s", line)
			for _, file := range r.Files {
				t.Line("    %s  %s", t.Paint(ui.LetterColor(file.Letter), file.Letter), ui.Safe(file.Path))
			}
			switch {
			case r.Diff == "":
			case f.stat:
				t.Line("    %s", contentdiff.CountLines(r.Diff))
			default:
				paintDiff(t, r.Diff)
			}
		}
		if len(rows) == 0 {
			env.Output().Note("no differences")
		}
	})
}

// paintDiff prints a unified diff, colored by its lines.
func paintDiff(t *ui.Grid, diff string) {
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		text := ui.Safe(line)
		switch {
		case strings.HasPrefix(line, "diff "):
			continue
		case strings.HasPrefix(line, "+"):
			text = t.Paint(ui.Green, line)
		case strings.HasPrefix(line, "-"):
			text = t.Paint(ui.Red, line)
		case strings.HasPrefix(line, "@@"):
			text = t.Paint(ui.Cyan, line)
		}
		t.Line("%s", text)
	}
}
