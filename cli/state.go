package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/assembly"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/transfer"
)

func newStateCmd(env *cmdline.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "state",
		Short:   "Move pairs from one state to another",
		GroupID: cmdline.GroupConfig,
		Long: `Move pairs from one state to another, for example from a daemon's file to the
table of a stack on AWS. Nothing is lost: the pair resumes where it stopped.

  1. state export --stop, with the old configuration: stops the pair there
  2. state import, with the new configuration
  3. sync-start, with the new configuration

In the old state, the pair stays stopped and is marked as moved, so that there are
never two writers: sync-start refuses it there unless you add --force.`,
		Example: `  chef-sync-ctl state export engineering --stop --file engineering.json
  chef-sync-ctl state import engineering.json -c /srv/aws.toml`,
	}
	cmd.AddCommand(newStateExportCmd(env), newStateImportCmd(env))
	return cmd
}

// exportFlags are the flags of state export.
type exportFlags struct {
	stop bool
	file string
	to   string
	wait ui.Duration
}

func newStateExportCmd(env *cmdline.Env) *cobra.Command {
	f := exportFlags{wait: ui.Duration(control.StopTimeout)}
	cmd := &cobra.Command{
		Use:   "export [PAIR...]",
		Short: "Write the records of stopped pairs as JSON",
		Long: `Write the records of pairs as one JSON object: desired state, progress, position,
ledger and unsynced objects. It contains no keys and no object content. Runs and
logs are not exported.

The pairs must be stopped and stay stopped: --stop stops them, waits for running
passes, and marks the pairs as moved.

--table reads another table than the stack's, such as one that AWS restored to a
point in time. Stop the pairs of the stack first, with sync-stop.`,
		Example: `  chef-sync-ctl state export engineering --stop --file engineering.json
  chef-sync-ctl state export > all.json
  chef-sync-ctl state export --all --stack chef-sync --table restored --stop > before.json`,
	}
	cmd.Flags().BoolVar(&f.stop, "stop", false, "stop the pairs first, as sync-stop does")
	cmd.Flags().StringVar(&f.to, "to", "", "with --stop: the `place` that the pairs move to, to be shown by sync-status")
	cmd.Flags().StringVar(&f.file, "file", "", "write to this `file`, which must not exist yet (default: standard output)")
	cmd.Flags().StringVar(&env.Table, "table", "", "of a stack: read this `table` instead of the stack's")
	cmd.Flags().Var(&f.wait, "wait", "with --stop: how long to wait for a running pass")
	env.TakePairs(cmd)
	cmd.RunE = env.WithPairsIf(func() bool { return f.stop }, func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		if env.Table != "" && a.Stack == nil {
			return exit.Usagef("name the stack too: --stack NAME", "--table needs a stack")
		}
		return exportState(ctx, env, a, pairs, f)
	})
	return cmd
}

func exportState(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, f exportFlags) error {
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	if f.stop {
		if _, err := control.StopPairs(ctx, env, a, pairs, "moved to another state"); err != nil {
			return err
		}
		if err := control.WaitIdle(ctx, env, a, pairs, time.Duration(f.wait)); err != nil {
			return err
		}
	}
	d, err := transfer.Export(ctx, state, app.PairIDs(pairs), env.Now())
	if err != nil {
		return err
	}
	if err := f.writeDocument(env, d); err != nil || !f.stop {
		return err
	}
	return markMoved(ctx, env, state, pairs, f.destination())
}

// destination is where the pairs go, as far as that is known.
func (f exportFlags) destination() string {
	path, err := filepath.Abs(f.file)
	switch {
	case f.to != "":
		return f.to
	case f.file == "" || err != nil:
		return "another state"
	}
	return "another state, exported to " + path
}

// markMoved records where pairs went that were exported.
func markMoved(ctx context.Context, env *cmdline.Env, state replication.State, pairs []app.Pair, place string) error {
	return app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		return app.WrapPair(p.ID, state.ChangeDesired(ctx, p.ID, replication.DesiredChange{Moved: &place, At: env.Now()}))
	})
}

// writeDocument writes the document where the flags say.
func (f exportFlags) writeDocument(env *cmdline.Env, d transfer.Document) error {
	if f.file == "" {
		return transfer.Encode(env.Out, d)
	}
	out, err := os.OpenFile(f.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return exit.Usagef("name another file with --file", "%s already exists", f.file)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(transfer.Encode(out, d), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.file, err)
	}
	env.Output().Note("wrote %s; next, with the new configuration: chef-sync-ctl state import %s", ui.Plural(len(d.Pairs),
		"pair"), f.file)
	return nil
}

func newStateImportCmd(env *cmdline.Env) *cobra.Command {
	var force, yes bool
	cmd := &cobra.Command{
		Use:   "import FILE [PAIR...]",
		Short: "Import pairs from a file written by state export",
		Long: `Import the selected pairs, or all, from a file written by state export; FILE may be
- for standard input. The imported records replace those that exist here, and are
read back. The pairs stay stopped until sync-start.

A pair with newer records here is refused, and so is one that a process is working
on.`,
		Example: `  chef-sync-ctl state import engineering.json
  chef-sync-ctl state import all.json eu/engineering`,
		Args: cmdline.CheckArgs(cobra.MinimumNArgs(1)),
	}
	cmd.Flags().BoolVar(&force, "force", false, "also replace newer records, which are lost")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "with --force: don't ask")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		d, err := readDocument(env, words[0])
		if err != nil {
			return err
		}
		return env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			chosen, err := selectPairs(d, pairs, len(words) > 1)
			if err != nil {
				return err
			}
			if force {
				if err := env.Confirm(ctx, yes, fmt.Sprintf("Replace the records of %s here, even if they are newer", ui.Plural(len(chosen),
					"pair"))); err != nil {
					return err
				}
			}
			return importState(ctx, env, a, chosen, force)
		})(cmd, words[1:])
	}
	return cmd
}

func readDocument(env *cmdline.Env, name string) (transfer.Document, error) {
	in := io.NopCloser(env.In)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return transfer.Document{}, exit.With(exit.Usage, err, "name a file that was written by state export")
		}
		in = f
	}
	defer in.Close()
	d, err := transfer.Decode(in)
	if err != nil {
		return d, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// selectPairs picks the pairs of a document that are to be imported: those that were
// named, or all. Each must be in the configuration, or nobody would work on it.
func selectPairs(d transfer.Document, pairs []app.Pair, named bool) ([]transfer.Pair, error) {
	here := map[replication.PairID]bool{}
	for _, p := range pairs {
		here[p.ID] = true
	}
	var chosen []transfer.Pair
	for _, p := range d.Pairs {
		switch {
		case here[p.ID]:
			chosen = append(chosen, p)
			delete(here, p.ID)
		case !named:
			return nil, exit.With(exit.NotFound, fmt.Errorf("pair %s is not in the configuration", p.ID),
				"add it there, or name the pairs to import")
		}
	}
	for _, p := range pairs {
		if named && here[p.ID] {
			return nil, exit.With(exit.NotFound, fmt.Errorf("pair %s is not in the file", p.ID), "export it, or name other pairs")
		}
	}
	return chosen, nil
}

// importState imports one pair after the other, also when another can't be.
func importState(ctx context.Context, env *cmdline.Env, a *app.App, pairs []transfer.Pair, force bool) error {
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	o := transfer.Options{Owner: assembly.NewOwner(), Now: env.Now, Force: force}
	results := []transfer.Result{}
	var failed []error
	for _, p := range pairs {
		if _, err := a.FreeAbandoned(ctx, p.ID); err != nil {
			return app.WrapPair(p.ID, err)
		}
		r, err := transfer.Import(ctx, state, p, o)
		var newer *transfer.NewerError
		switch {
		case err == nil:
			results = append(results, r)
			continue
		case errors.As(err, &newer):
			err = exit.With(exit.Failed, err, "check it with chef-sync-ctl sync-status; to discard the newer records, add --force")
		}
		if failed = append(failed, err); ctx.Err() != nil {
			break // interrupted
		}
	}
	err = exit.Join(failed...)
	if err != nil && len(results) == 0 {
		return err
	}
	emitted := env.Output().Emit(results, func(t *ui.Grid) {
		t.Head("PAIR", "RESULT", "OBJECTS", "UNSYNCED")
		for _, r := range results {
			t.Row(r.Pair.String(), r.Outcome, strconv.Itoa(r.Objects), strconv.Itoa(r.Unsynced))
		}
	})
	env.Output().Note("stopped here until: chef-sync-ctl sync-start PAIR")
	return errors.Join(err, emitted)
}
