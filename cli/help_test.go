package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/help"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

func tree(t *testing.T, visit func(*cobra.Command)) {
	t.Helper()
	env := cmdline.NewEnv(cmdline.Streams{LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now})
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		visit(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRootCmd(env))
}

func TestEveryCommandShowsExamplesThatExist(t *testing.T) {
	tree(t, func(c *cobra.Command) {
		if !c.Runnable() {
			return // topics
		}
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s has no example or no summary", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " |")
			words := strings.Fields(line)
			if len(words) == 0 || words[0] == "#" {
				continue
			}
			if words[0] != "chef-sync-ctl" {
				t.Errorf("%s: the example %q doesn't begin with the program", c.CommandPath(), line)
				continue
			}
			found, _, err := c.Root().Find(words[1:])
			if err != nil || found == c.Root() {
				t.Errorf("%s: the example %q names no command: %v", c.CommandPath(), line, err)
				continue
			}
			for _, w := range words[2:] {
				name, isFlag := strings.CutPrefix(w, "--")
				name, _, _ = strings.Cut(name, "=")
				if isFlag && found.Flags().Lookup(name) == nil && found.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: the example %q uses an unknown flag %s", c.CommandPath(), line, w)
				}
			}
		}
	})
}

// TestExamplesHaveAllTheirArguments: what is wrong with an example is said before the
// configuration is opened, which isn't there, nor is a file to import.
func TestExamplesHaveAllTheirArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	noStack, quotes := regexp.MustCompile(` --(stack|remote)( [a-z-]+)?`), strings.NewReplacer("'", "")
	tree(t, func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " |")
			line, _, _ = strings.Cut(line, " > ")
			words := strings.Fields(quotes.Replace(noStack.ReplaceAllString(line, "")))
			needNone := []string{"init", "demo", "completion", "help", "version"} // no configuration
			if len(words) < 2 || words[0] == "#" || slices.Contains(needNone, words[1]) {
				continue
			}
			var out bytes.Buffer
			executeArgs(t.Context(), append(words[1:], "--config", "none.toml"), cmdline.Streams{In: strings.NewReader(""), Out: &out, Err: &out,
				Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false }})
			if text := out.String(); !strings.Contains(text, "none.toml") && !strings.Contains(text, "name a file that was written by state export") {
				t.Errorf("%s: the example %q: %s", c.CommandPath(), line, text)
			}
		}
	})
}

// Nothing wraps on a terminal of 80 columns, and nothing is written as source text.
func TestHelpFitsATerminal(t *testing.T) {
	tree(t, func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		for line := range strings.Lines(help.Text(c)) {
			line = strings.TrimRight(line, "\n")
			if utf8.RuneCountInString(line) > help.Width || strings.Contains(line, "\t") || strings.TrimRight(line, " ") != line {
				t.Errorf("%s: %q", c.CommandPath(), line)
			}
		}
	})
}

// Flags about AWS are named where they mean something only.
func TestGlobalFlagsOfACommand(t *testing.T) {
	tree(t, func(c *cobra.Command) {
		about := slices.Contains(help.GlobalFlags(c), "--stack")
		switch c.CommandPath() {
		case "chef-sync-ctl version", "chef-sync-ctl init", "chef-sync-ctl demo", "chef-sync-ctl completion bash":
			if about {
				t.Errorf("%s names --stack", c.CommandPath())
			}
		case "chef-sync-ctl sync-status", "chef-sync-ctl doctor", "chef-sync-ctl config show":
			if !about {
				t.Errorf("%s doesn't name --stack", c.CommandPath())
			}
		}
	})
}

// Further names lead to one command each, and none hides another.
func TestOtherNamesAreUnique(t *testing.T) {
	root := newRootCmd(cmdline.NewEnv(cmdline.Streams{LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now}))
	of := map[string]string{}
	for _, c := range root.Commands() {
		for _, name := range append([]string{c.Name()}, c.Aliases...) {
			if of[name] != "" {
				t.Errorf("%s is both %s and %s", name, of[name], c.Name())
			}
			of[name] = c.Name()
		}
	}
	for name := range otherNames() {
		if of[name] != name {
			t.Errorf("there is no command %s", name)
		}
	}
}

func TestFlagsAreInKebabCaseAndExplained(t *testing.T) {
	tree(t, func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || f.Name != strings.ToLower(f.Name) || strings.Contains(f.Name, "_") {
				t.Errorf("%s --%s", c.CommandPath(), f.Name)
			}
		})
	})
}

func TestTheOriginalCommandsAreThere(t *testing.T) {
	have := map[string]bool{}
	tree(t, func(c *cobra.Command) { have[c.CommandPath()] = true })
	for _, name := range []string{"prepare-org", "sync-start", "sync-stop", "sync-status", "sync-log", "manager-log", "unsynced-objects",
		"run", "demo", "init", "doctor", "plan", "diff", "verify", "resync", "runs", "config show", "state export", "state import", "version"} {
		if !have["chef-sync-ctl "+name] {
			t.Errorf("there is no command %s", name)
		}
	}
}

func TestKindsAreCalledAsInTheConfiguration(t *testing.T) {
	for kind, want := range map[object.Kind]string{object.Policy: "policies", object.PolicyGroup: "policy_groups",
		object.Cookbook: "cookbooks", object.DataBagItem: "data_bag_items"} {
		if got := ui.KindName(kind); got != want {
			t.Errorf("%s is called %s, want %s", kind, got, want)
		}
	}
}
