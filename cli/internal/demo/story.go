package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef/cheftest"
)

// Options say how to run the demo.
type Options struct {
	Keep  string // a new folder that is kept; "" for one that is removed
	Serve bool   // run the daemon after the story, until ctx ends
	// Execute runs a command line of the program and returns its exit code.
	Execute func(ctx context.Context, args []string, s cmdline.Streams) int
}

// Run runs the demo.
func (o Options) Run(ctx context.Context, env *cmdline.Env) error {
	dir, removeDir, err := makeFolder(o.Keep)
	if err != nil {
		return err
	}
	defer removeDir()
	d := &demo{Options: o, env: env, dir: dir}
	defer d.closeServers()
	if err := d.playScenes(ctx); err != nil || !o.Serve {
		return err
	}
	return d.serve(ctx)
}

// makeFolder creates the folder of the demo; done removes it unless it is to be kept.
func makeFolder(keep string) (dir string, done func(), err error) {
	if keep == "" {
		dir, err = os.MkdirTemp("", "chef-sync-demo-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(keep)
	if err != nil {
		return "", nil, err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return "", nil, exit.Usagef("name a folder that doesn't exist yet", "%s is not empty", keep)
	}
	return dir, func() {}, os.MkdirAll(dir, 0o700)
}

// organization is the organization of the demo, on both sides.
const organization = "engineering"

// demo is a running demo.
type demo struct {
	Options
	env              *cmdline.Env
	dir              string
	primary, replica *cheftest.Server
	status           string // address of the status page
	outputErr        error  // why nothing more can be printed
}

// playScenes plays the scenes. The last line is printed only if both servers hold the
// same bytes.
func (d *demo) playScenes(ctx context.Context) error {
	for _, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"Two Chef Servers in memory, which verify every signature", d.startServers},
		{"A user, a key and permissions on both sides", d.prepareOrgs},
		{"First copy: the replica refuses one object, and the others are copied", d.copyEverything},
		{"The replica accepts it now", d.retryUnsynced},
		{"Changes on the primary: a role, a cookbook, a new and a deleted item", d.changeObjects},
		{"All roles of the primary are deleted by mistake", d.deleteRoles},
		{"An object is changed on the replica", d.repairDrift},
		{"Status, and what was done", d.showStatus},
	} {
		d.printLine("%s", d.env.Output().Paint(ui.Bold, "== "+scene.title))
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", scene.title, err)
		}
		d.printLine("")
	}
	return errors.Join(d.compareServers(), d.outputErr)
}

func (d *demo) closeServers() {
	for _, s := range []*cheftest.Server{d.primary, d.replica} {
		if s != nil {
			s.Close()
		}
	}
}

func (d *demo) printLine(format string, args ...any) {
	_, err := fmt.Fprintf(d.env.Out, format+"\n", args...)
	d.outputErr = cmp.Or(d.outputErr, err)
}

func (d *demo) configPath() string { return filepath.Join(d.dir, "chef-sync.toml") }

// runCommand shows a command line, and runs it with the configuration of the demo. What
// the command writes to stderr is shown too.
func (d *demo) runCommand(ctx context.Context, want exit.Code, line string) error {
	d.printLine("%s", d.env.Output().Paint(ui.Bold, "$ chef-sync-ctl "+line))
	if d.outputErr != nil {
		return d.outputErr
	}
	s := d.streams()
	s.Err, s.ErrTTY = s.Out, true // on a terminal there is no log beside the words that say the same
	s.ErrWidth = func() int { return d.env.Output().Size().Columns }
	if !s.OutTTY {
		lookup := s.LookupEnv
		s.LookupEnv = func(name string) (string, bool) {
			if name == "TERM" {
				return "dumb", true // no progress
			}
			return lookup(name)
		}
	}
	code := exit.Code(d.Execute(ctx, strings.Fields(line), s))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case code != want:
		return fmt.Errorf("chef-sync-ctl %s: exit code %d, expected %d", line, code, want)
	case code != exit.OK:
		d.printLine("%s", d.env.Output().Paint(ui.Faint, fmt.Sprintf("(exit code %d)", code)))
	}
	return nil
}

// streams returns the streams of a command. Of the environment it has what isn't meant for
// the program, so that it does the same for everybody.
func (d *demo) streams() cmdline.Streams {
	s, color := d.env.Streams, "never"
	if d.env.Output().Color {
		color = "always"
	}
	own := map[string]string{"CONFIG": d.configPath(), "COLOR": color}
	s.LookupEnv = func(name string) (string, bool) {
		if word, isOurs := strings.CutPrefix(name, cmdline.EnvPrefix); isOurs {
			v, ok := own[word]
			return v, ok
		}
		if name == "CHEF_PROFILE" {
			return "", false
		}
		return d.env.LookupEnv(name)
	}
	return s
}

// compareServers compares the objects and files of both servers, and prints the result.
func (d *demo) compareServers() error {
	left, right := d.primary.Org(organization).Snapshot(), d.replica.Org(organization).Snapshot()
	for path, body := range left {
		if right[path] != body {
			return fmt.Errorf("%s differs on the replica", path)
		}
	}
	if damaged := d.replica.Org(organization).DamagedCookbooks(); len(left) != len(right) || len(damaged) > 0 {
		return fmt.Errorf("the replica holds %d objects, the primary %d; with damaged files: %v", len(right), len(left), damaged)
	}
	d.printLine("%d requests to the primary and %d to the replica, every signature verified; every file compared byte by byte",
		len(d.primary.Requests()), len(d.replica.Requests()))
	if d.Keep != "" && !d.Serve {
		d.printLine("The servers are stopped. The state is kept, for commands such as")
		d.printLine("  chef-sync-ctl --config %s runs %s", d.configPath(), organization)
	}
	d.printLine("in sync: %d objects, 0 unsynced", len(left))
	return nil
}
