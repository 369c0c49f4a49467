// Package cmdline is what all commands share: the flags of the program, its streams,
// and how arguments that name pairs and objects are read.
package cmdline

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/stack"
	"chefsync/cli/internal/ui"
)

// The groups of commands in help.
const (
	GroupSync   = "sync"
	GroupLook   = "look"
	GroupCheck  = "check"
	GroupConfig = "config"
)

// Streams are what the program reads from and writes to, its environment, its clock, and
// AWS.
type Streams struct {
	In             io.Reader
	Out, Err       io.Writer
	InTTY          bool
	OutTTY, ErrTTY bool
	OutSize        func() ui.Size // of the terminal that is Out; may be nil
	ErrWidth       func() int     // columns of the terminal, 0 if unknown; may be nil
	LookupEnv      func(string) (string, bool)
	Now            func() time.Time
	AWS            func(stack.Access) stack.AWS // nil for a program without AWS
}

// ProcessStreams returns the streams of the process.
func ProcessStreams() Streams {
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	size := func(f *os.File) ui.Size {
		columns, lines, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return ui.Size{} // no terminal, or its size is unknown
		}
		return ui.Size{Columns: columns, Lines: lines}
	}
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: tty(os.Stdin), OutTTY: tty(os.Stdout), ErrTTY: tty(os.Stderr),
		OutSize: func() ui.Size { return size(os.Stdout) }, ErrWidth: func() int { return size(os.Stderr).Columns },
		LookupEnv: os.LookupEnv, Now: time.Now,
	}
}

// Env is the environment of a command: the flags that all commands share, and the
// streams.
type Env struct {
	Streams
	ConfigPath  string
	chefProfile string
	Stack       string
	profile     string // of AWS
	region      string // of AWS
	Table       string // of a stack, instead of its own
	Format      ui.Format
	color       string
	logFormat   string
	LogLevel    string
	quiet       bool
	pairs       pairFlags
	// TellsAll: the output of the command says what the log on a terminal would.
	TellsAll bool
	Daemon   bool   // run without --once: the log is its output
	Owner    string // of a daemon, in leases; "" for a name that each command makes
}

// NewEnv returns an environment without flags.
func NewEnv(s Streams) *Env {
	s.Err = ui.NewLineWriter(s.Err)
	return &Env{Streams: s, Format: ui.Table}
}

// AddFlags adds the flags that all commands share.
func (env *Env) AddFlags(f *pflag.FlagSet) {
	f.StringVarP(&env.ConfigPath, "config", "c", "", "configuration `file` (default ./chef-sync.toml, then /etc/chef-sync/chef-sync.toml)")
	f.StringVar(&env.chefProfile, "chef-profile", "", "`profile` of ~/.chef/credentials for the primary, if the configuration has no user and key")
	f.StringVar(&env.Stack, "stack", "", "work on the `stack` with this name on AWS; . is the stack named under [aws] in the configuration file")
	f.StringVar(&env.profile, "profile", "", "AWS `profile`, for --stack and for keys stored in AWS")
	f.StringVar(&env.region, "region", "", "AWS `region` (default: from your AWS settings, then from [aws] in the configuration file)")
	f.VarP(&env.Format, "output", "o", "output `format`: table, wide, markdown, json, yaml or jsonl")
	f.StringVar(&env.color, "color", "auto", "color: auto, always or never")
	f.StringVar(&env.logFormat, "log-format", "auto", "format of the log on stderr: text, json, or auto, which is a short format on a terminal, otherwise text")
	f.StringVar(&env.LogLevel, "log-level", "",
		"minimum log level on stderr: debug, info, warn or error (default: for run, level under [log] in the configuration; otherwise warn)")
	f.BoolVarP(&env.quiet, "quiet", "q", false, "don't show progress and notes on stderr")
	f.VisitAll(takeFromEnvironment)
}

// Output returns the writer of the command.
func (env *Env) Output() *ui.Output {
	return &ui.Output{
		Out: env.Out, Err: env.Err, Format: env.Format, Color: env.useColor(),
		OutTTY: env.OutTTY, Size: env.outSize, ErrTTY: env.ErrTTY && !env.HasDumbTerminal(), ErrWidth: env.ErrWidth, Quiet: env.quiet, Now: env.Now,
	}
}

// outSize returns the size that output must fit in. The variables tell it where the output
// isn't a terminal but ends on one, as watch(1) and pagers do.
func (env *Env) outSize() ui.Size {
	var size ui.Size
	if env.OutTTY && env.OutSize != nil {
		size = env.OutSize()
	}
	for name, n := range map[string]*int{"COLUMNS": &size.Columns, "LINES": &size.Lines} {
		word, _ := env.LookupEnv(name)
		if v, err := strconv.Atoi(word); err == nil && v > 0 {
			*n = v
		}
	}
	return size
}

// HasDumbTerminal reports whether the terminal knows no control sequences.
func (env *Env) HasDumbTerminal() bool {
	t, _ := env.LookupEnv("TERM")
	return t == "dumb"
}

// useColor reports whether output is colored: the flag decides, then NO_COLOR, then the
// terminal.
func (env *Env) useColor() bool {
	switch env.color {
	case "always":
		return true
	case "never":
		return false
	}
	noColor, _ := env.LookupEnv("NO_COLOR")
	return env.OutTTY && noColor == "" && !env.HasDumbTerminal()
}

// WantsData reports whether a program reads the output, and so the errors. It looks at
// the arguments too: a wrong flag ends the parsing before --output is seen.
func (env *Env) WantsData(args []string) bool {
	if env.Format.IsData() {
		return true
	}
	format := ui.Table
	if v, ok := env.LookupEnv(EnvPrefix + "OUTPUT"); ok {
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
	return format.IsData()
}

// CheckFlags refuses values that no flag type checks.
func (env *Env) CheckFlags() error {
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"color", env.color, []string{"auto", "always", "never"}},
		{"log-format", env.logFormat, []string{"auto", "text", "json"}},
		{"log-level", env.LogLevel, []string{"", "debug", "info", "warn", "error"}},
	} {
		if !slices.Contains(c.words, c.value) {
			return exit.Usagef("", "--%s can't be %q: expected one of %s", c.flag, c.value, strings.TrimPrefix(strings.Join(c.words, ", "), ", "))
		}
	}
	return nil
}
