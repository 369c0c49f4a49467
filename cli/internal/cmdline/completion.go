package cmdline

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
)

// InstallCompletion completes, in a command and all below it, the flags and arguments that
// the words of their usage name. File names are offered only for files.
func (env *Env) InstallCompletion(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	runs, objects := env.completeOfPairs(listRuns), env.completeOfPairs(listObjects)
	byFlag := map[string]cobra.CompletionFunc{"run": runs, "object": objects, "replica": env.CompleteReplicas}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { completeFlag(c, f, byFlag) })
		_, usage, _ := strings.Cut(c.Use, " ")
		switch {
		case strings.Contains(usage, "FILE"):
			c.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault)
		case strings.Contains(usage, "RUN"):
			c.ValidArgsFunction = behindPair(c.ValidArgsFunction, runs)
		case strings.Contains(usage, "OBJECT"):
			c.ValidArgsFunction = behindPair(c.ValidArgsFunction, objects)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(root, f, byFlag) })
}

func completeFlag(c *cobra.Command, f *pflag.Flag, byFlag map[string]cobra.CompletionFunc) {
	if value, _ := pflag.UnquoteUsage(f); value == "file" {
		_ = c.RegisterFlagCompletionFunc(f.Name, fileNames) // the flag is there
		return
	}
	if complete := byFlag[f.Name]; complete != nil && f.Value.Type() != "bool" {
		if _, known := c.GetFlagCompletionFunc(f.Name); !known {
			_ = c.RegisterFlagCompletionFunc(f.Name, complete)
		}
	}
}

func fileNames(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// PlainDescriptions removes the backticks that name the value of a flag from the
// descriptions of all flags: shells show descriptions as they are.
func PlainDescriptions(root *cobra.Command) {
	plain := func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) }
	root.PersistentFlags().VisitAll(plain)
	for _, c := range root.Commands() {
		c.Flags().VisitAll(plain)
		PlainDescriptions(c)
	}
}

// IsCompletion reports whether a command line comes from a shell that completes another.
func IsCompletion(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// behindPair completes the first argument, which names pairs, as before, and further ones
// otherwise too.
func behindPair(first, further cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) (words []cobra.Completion, d cobra.ShellCompDirective) {
		if first != nil && (len(args) == 0 || strings.Contains(cmd.Use, "PAIR...")) {
			words, d = first(cmd, args, word)
		}
		if len(args) == 0 {
			return words, d
		}
		more, d := further(cmd, args, word)
		return append(words, more...), d
	}
}

// wordLister lists words that may be meant: of the opened configuration, for a word that is
// begun.
type wordLister func(ctx context.Context, a *app.App, args []string, begun string) []cobra.Completion

// Complete completes what list returns. Without a configuration there is nothing to complete.
func (env *Env) Complete(list wordLister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
		_ = env.WithApp(func(ctx context.Context, a *app.App) error {
			words = list(ctx, a, args, begun)
			return nil
		})(cmd, args)
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompletePairs completes what selects pairs.
func (env *Env) CompletePairs(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return env.Complete(func(_ context.Context, a *app.App, _ []string, begun string) []cobra.Completion {
		return a.Selectors(begun)
	})(cmd, args, begun)
}

// CompleteReplicas completes the names of the replicas.
func (env *Env) CompleteReplicas(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return env.Complete(func(_ context.Context, a *app.App, _ []string, _ string) (words []cobra.Completion) {
		for _, r := range a.Replicas {
			words = append(words, cobra.CompletionWithDesc(r.Name, r.URL))
		}
		return words
	})(cmd, args, begun)
}

// completeOfPairs completes what is listed of the pairs that the first argument names, or of
// all.
func (env *Env) completeOfPairs(list func(ctx context.Context, a *app.App, p app.Pair, begun string) []cobra.Completion,
) cobra.CompletionFunc {
	return env.Complete(func(ctx context.Context, a *app.App, args []string, begun string) (words []cobra.Completion) {
		pairs := a.Pairs()
		if len(args) > 0 {
			if named, err := a.Select(args[0]); err == nil {
				pairs = named
			}
		}
		for _, p := range pairs {
			words = append(words, list(ctx, a, p, begun)...)
		}
		slices.Sort(words)
		return slices.Compact(words) // pairs have objects in common
	})
}

// mostRuns is the number of runs of a pair that are offered.
const mostRuns = 50

// listRuns lists the ids of the newest runs of a pair, with when they began and how they
// ended.
func listRuns(ctx context.Context, a *app.App, p app.Pair, _ string) (words []cobra.Completion) {
	runs, _ := a.Runs(ctx, p.ID, mostRuns) // those of the other pairs are of use
	for _, r := range runs {
		words = append(words, cobra.CompletionWithDesc(r.ID, p.ID.String()+", "+ui.Age(r.Started, a.Now())+", "+
			string(r.Outcome)))
	}
	return words
}

// listObjects lists the objects that are known of a pair, written as the word begins: as a
// path, or as the configuration does.
func listObjects(ctx context.Context, a *app.App, p app.Pair, begun string) (words []cobra.Completion) {
	state, err := a.State(ctx)
	if err != nil {
		return nil
	}
	entries, _ := state.Entries(ctx, p.ID)
	for ref := range entries {
		path := ref.Path()
		if begun != "" && !strings.HasPrefix(begun, "/") {
			path = strings.TrimPrefix(path, "/")
		}
		words = append(words, path)
	}
	return words
}
