package cmdline

import (
	"context"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
)

// pairFlags are the flags that select pairs.
type pairFlags struct {
	replicas []string
	all      bool
}

// TakePairs makes a command take pairs: it completes their names, and adds the flags
// that select pairs, --all only where the command has no other meaning for it.
func (env *Env) TakePairs(cmd *cobra.Command) {
	cmd.ValidArgsFunction = env.CompletePairs
	cmd.Flags().StringSliceVar(&env.pairs.replicas, "replica", nil, "only pairs of this replica, by its `name`; may be repeated")
	if cmd.Flags().Lookup("all") == nil {
		cmd.Flags().BoolVar(&env.pairs.all, "all", false, "all pairs")
	}
}

// SelectPairs returns the pairs that names and flags select, without any of them all.
func (env *Env) SelectPairs(a *app.App, names []string) ([]app.Pair, error) {
	if env.pairs.all && (len(names) > 0 || len(env.pairs.replicas) > 0) {
		return nil, exit.Usagef("leave out --all or the other selectors", "--all can't be used together with other selectors")
	}
	return a.SelectOn(env.pairs.replicas, names...)
}

// PairsFunc is a command that works on pairs.
type PairsFunc func(ctx context.Context, a *app.App, pairs []app.Pair) error

// ObjectsFunc is a command that works on objects of pairs.
type ObjectsFunc func(ctx context.Context, a *app.App, pairs []app.Pair, objects Objects) error

// RunE is how a command runs.
type RunE func(cmd *cobra.Command, args []string) error

// WithPairs returns the RunE of a command that works on the pairs that are selected,
// without a selector on all.
func (env *Env) WithPairs(f PairsFunc) RunE { return env.WithPairsIf(nil, f) }

// WithNamedPairs is WithPairs for a command that changes something: it refuses to work
// without a selector.
func (env *Env) WithNamedPairs(f PairsFunc) RunE {
	return env.WithPairsIf(func() bool { return true }, f)
}

// WithPairsIf is WithNamedPairs if changes returns true, else WithPairs.
func (env *Env) WithPairsIf(changes func() bool, f PairsFunc) RunE {
	allPairs := func(_ *app.App, words []string) ([]string, Objects, error) { return words, Objects{}, nil }
	return env.withSelection(changes, allPairs, func(ctx context.Context, a *app.App, pairs []app.Pair, _ Objects) error { return f(ctx, a, pairs) })
}

// WithObjectsIf is WithPairsIf for a command whose further arguments are objects. What
// selects a pair is a pair; a slash at the beginning makes a word an object.
func (env *Env) WithObjectsIf(changes func() bool, f ObjectsFunc) RunE {
	return env.withSelection(changes, splitWords, f)
}

// withSelection returns the RunE of a command whose arguments split tells apart: names that
// select pairs, and objects.
func (env *Env) withSelection(changes func() bool, split func(*app.App, []string) ([]string, Objects, error), f ObjectsFunc) RunE {
	return func(cmd *cobra.Command, words []string) error {
		named := changes != nil && changes()
		if named && !env.hasSelector(words) {
			return exit.Usagef(firstExample(cmd), "name a PAIR, or use --all")
		}
		return env.WithApp(func(ctx context.Context, a *app.App) error {
			names, objects, err := split(a, words)
			if err != nil {
				return err
			}
			if n := len(a.Pairs()); named && n > 1 && !env.hasSelector(names) {
				return exit.Usagef(cmd.CommandPath()+" PAIR "+objects.first(), "there are %d pairs: name the pair of the objects, or use --all", n)
			}
			pairs, err := env.SelectPairs(a, names)
			if err != nil {
				return err
			}
			return f(ctx, a, pairs, objects)
		})(cmd, words)
	}
}

// WithApp returns the RunE of a command that works on the opened configuration.
func (env *Env) WithApp(f func(ctx context.Context, a *app.App) error) RunE {
	return func(cmd *cobra.Command, _ []string) error {
		a, err := env.Open(cmd.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		return f(cmd.Context(), a)
	}
}

func (env *Env) hasSelector(names []string) bool {
	return len(names) > 0 || len(env.pairs.replicas) > 0 || env.pairs.all
}
