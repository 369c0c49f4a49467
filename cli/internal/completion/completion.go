// Package completion completes the values of flags and arguments in a shell: runs, objects
// and replicas. Pairs are completed by package cmdline.
package completion

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// Completer completes a word of a command line.
type Completer = cobra.CompletionFunc

// Install completes, in a command and all below it, the flags and arguments that the words
// of their usage name. File names are offered only for files.
func Install(root *cobra.Command, env *cmdline.Env) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	byFlag := map[string]Completer{"run": runs(env), "object": objects(env), "replica": Replicas(env)}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { completeFlag(c, f, byFlag) })
		_, usage, _ := strings.Cut(c.Use, " ")
		switch {
		case strings.Contains(usage, "FILE"):
			c.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault)
		case strings.Contains(usage, "RUN"):
			c.ValidArgsFunction = behindPair(c.ValidArgsFunction, runs(env))
		case strings.Contains(usage, "OBJECT"):
			c.ValidArgsFunction = behindPair(c.ValidArgsFunction, objects(env))
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(root, f, byFlag) })
}

func completeFlag(c *cobra.Command, f *pflag.Flag, byFlag map[string]Completer) {
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

// IsRequest reports whether a command line comes from a shell that completes another.
func IsRequest(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// behindPair completes the first argument, which names pairs, as before, and further ones
// otherwise too.
func behindPair(first, further Completer) Completer {
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

// mostRuns is the number of runs of a pair that are offered.
const mostRuns = 50

// runs completes the ids of the newest runs of the pairs that are named, with when they
// began and how they ended.
func runs(env *cmdline.Env) Completer {
	return withPairs(env, func(cmd *cobra.Command, a *app.App, pairs []app.Pair, _ string) (words []cobra.Completion) {
		state, err := a.State(cmd.Context())
		if err != nil {
			return nil
		}
		for _, p := range pairs {
			list, err := state.Runs(cmd.Context(), p.ID, mostRuns)
			if err != nil {
				continue // those of the other pairs are of use
			}
			for _, r := range list {
				words = append(words, cobra.CompletionWithDesc(r.ID, p.ID.String()+", "+ui.Age(r.Started, env.Now())+", "+
					cmp.Or(string(r.Outcome), "running")))
			}
		}
		return words
	})
}

// objects completes the objects that are known of the pairs that are named.
func objects(env *cmdline.Env) Completer {
	return withPairs(env, func(cmd *cobra.Command, a *app.App, pairs []app.Pair, word string) (words []cobra.Completion) {
		state, err := a.State(cmd.Context())
		if err != nil {
			return nil
		}
		known := map[string]bool{}
		for _, p := range pairs {
			entries, err := state.Entries(cmd.Context(), p.ID)
			if err != nil {
				continue
			}
			for ref := range entries {
				known[wordOf(ref, word)] = true
			}
		}
		for name := range known {
			words = append(words, name)
		}
		slices.Sort(words)
		return words
	})
}

// wordOf writes an object as the word that is being completed begins: as a path, or as the
// configuration does.
func wordOf(ref object.Ref, word string) string {
	path := ref.Path()
	if word == "" || strings.HasPrefix(word, "/") {
		return path
	}
	return strings.TrimPrefix(path, "/")
}

// Replicas completes the names of the replicas.
func Replicas(env *cmdline.Env) Completer {
	return func(cmd *cobra.Command, _ []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
		a, err := env.Open(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer a.Close()
		for _, r := range a.Replicas {
			words = append(words, cobra.CompletionWithDesc(r.Name, r.URL))
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// withPairs returns a Completer that looks at the pairs which the first argument names, or
// at all of them.
func withPairs(env *cmdline.Env, list func(*cobra.Command, *app.App, []app.Pair, string) []cobra.Completion) Completer {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		a, err := env.Open(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer a.Close()
		pairs := a.Pairs()
		if len(args) > 0 {
			if named, err := a.Select(args[0]); err == nil {
				pairs = named
			}
		}
		return list(cmd, a, pairs, word), cobra.ShellCompDirectiveNoFileComp
	}
}
