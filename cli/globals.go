package cli

import (
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
)

// envPrefix begins the environment variable of every flag.
const envPrefix = "CHEF_SYNC_"

// streams are what the program reads from and writes to.
type streams struct {
	in             io.Reader
	out, err       io.Writer
	inTTY          bool
	outTTY, errTTY bool
	errWidth       func() int // columns of the terminal now, 0 if they aren't known; may be nil
	env            func(string) (string, bool)
	now            func() time.Time
}

func processStreams() streams {
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	width := func(f *os.File) func() int {
		return func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 0 // no terminal, or one that doesn't tell
			}
			return columns
		}
	}
	return streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		inTTY: tty(os.Stdin), outTTY: tty(os.Stdout), errTTY: tty(os.Stderr), errWidth: width(os.Stderr),
		env: os.LookupEnv, now: time.Now,
	}
}

// globals are the flags that all commands share.
type globals struct {
	streams
	config      string
	chefProfile string
	stack       string
	profile     string // of AWS
	region      string // of AWS
	table       string // of a stack, instead of its own
	format      ui.Format
	color       string
	logFormat   string
	logLevel    string
	quiet       bool
	daemon      bool   // run without --once: the log is its output
	owner       string // of a daemon, in leases; "" for a name that each command makes
}

func newGlobals(s streams) *globals {
	return &globals{streams: s, format: ui.Table}
}

func (g *globals) flags(f *pflag.FlagSet) {
	f.StringVarP(&g.config, "config", "c", "", "configuration `file` (default ./chef-sync.toml, then /etc/chef-sync/chef-sync.toml)")
	f.StringVar(&g.chefProfile, "chef-profile", "", "`profile` of ~/.chef/credentials for the primary, where the configuration names no user and key")
	f.StringVar(&g.stack, "stack", "", "work on the deployed `stack` of this name on AWS; . is the one that [aws] in the configuration file names")
	f.StringVar(&g.profile, "profile", "", "`profile` of AWS, for --stack and for keys that are kept in AWS")
	f.StringVar(&g.region, "region", "", "`region` of AWS (default: as AWS's own settings say, then [aws] in the configuration file)")
	f.VarP(&g.format, "output", "o", "output `format`: table, json, yaml or jsonl")
	f.StringVar(&g.color, "color", "auto", "colour: auto, always or never")
	f.StringVar(&g.logFormat, "log-format", "text", "format of the log on stderr: text or json")
	f.StringVar(&g.logLevel, "log-level", "", "least level on stderr: debug, info, warn or error (default: for run what the configuration says, else warn)")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "no progress and no remarks on stderr")
}

// output is the writer of the command at work.
func (g *globals) output() *ui.Output {
	return &ui.Output{
		Out: g.out, Err: g.err, Format: g.format, Color: g.colored(),
		OutTTY: g.outTTY, ErrTTY: g.errTTY && !g.dumb(), ErrWidth: g.errWidth, Quiet: g.quiet, Now: g.now,
	}
}

func (g *globals) dumb() bool {
	t, _ := g.env("TERM")
	return t == "dumb"
}

// colored decides on colour: the flag, then NO_COLOR, then the terminal.
func (g *globals) colored() bool {
	switch g.color {
	case "always":
		return true
	case "never":
		return false
	}
	noColor, _ := g.env("NO_COLOR")
	return g.outTTY && noColor == "" && !g.dumb()
}

// machine tells whether errors are for a program to read. It looks at the
// arguments too, since a wrong flag ends the parsing before --output is seen.
func (g *globals) machine(args []string) bool {
	if g.format != ui.Table {
		return true
	}
	format := ui.Table
	if v, ok := g.env(envPrefix + "OUTPUT"); ok {
		_ = format.Set(v)
	}
	for i, a := range args {
		word, isFlag := strings.CutPrefix(a, "--output=")
		if short, ok := strings.CutPrefix(a, "-o"); ok {
			word, isFlag = strings.TrimPrefix(short, "="), true
		}
		if (a == "--output" || a == "-o") && i+1 < len(args) {
			word, isFlag = args[i+1], true
		}
		if isFlag {
			_ = format.Set(word)
		}
	}
	return format != ui.Table
}

// envName is the environment variable that sets a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that weren't given from the environment.
func (g *globals) fromEnvironment(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		v, ok := g.env(envName(f.Name))
		if !ok || v == "" || f.Changed || f.Name == "help" || failed != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, v); err != nil {
			failed = exit.Usagef("correct or unset the variable", "environment variable %s: %v", envName(f.Name), err)
		}
	})
	return failed
}

// check refuses words that no flag type checks.
func (g *globals) check() error {
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"color", g.color, []string{"auto", "always", "never"}},
		{"log-format", g.logFormat, []string{"text", "json"}},
		{"log-level", g.logLevel, []string{"", "debug", "info", "warn", "error"}},
	} {
		if !slices.Contains(c.words, c.value) {
			return exit.Usagef("", "--%s can't be %q: expected one of %s", c.flag, c.value, strings.TrimPrefix(strings.Join(c.words, ", "), ", "))
		}
	}
	return nil
}
