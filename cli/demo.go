package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
)

func newDemoCmd(env *cmdline.Env) *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "See it work: two Chef Servers in memory, one replicated to the other",
		GroupID: cmdline.GroupConfig,
		Long: `Start two Chef Servers in memory that verify every signature, fill the primary,
replicate it, change and delete things, let one object fail and heal, take the
change feed away and go on by scans and pushes, and compare both sides byte by byte.
Nothing outside a folder of its own is touched and no
network but this machine's own is used.`,
		Example: "  chef-sync-ctl demo\n  chef-sync-ctl demo --keep /tmp/demo",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&keep, "keep", "", "keep configuration, keys, state and stage in this new `folder`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, done, err := demoFolder(keep)
		if err != nil {
			return err
		}
		defer done()
		d := &demoStory{g: env, dir: dir, keep: keep != ""}
		defer d.close()
		return d.tell(cmd.Context())
	}
	return cmd
}

// demoFolder is a new folder, which is removed in the end unless it is to stay.
func demoFolder(keep string) (dir string, done func(), err error) {
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

// demoOrg is the organization of the demo, on both sides.
const demoOrg = "engineering"

// demoStory is a demo at work.
type demoStory struct {
	g                *cmdline.Env
	dir              string
	keep             bool
	primary, replica *cheftest.Server
	fault            *cheftest.FaultHandle
	app              *app.App
	pair             app.Pair
	mute             error // why the story can't be told any more
}

// tell runs the chapters. The last line is a promise: it is printed only when
// both servers hold the same bytes.
func (d *demoStory) tell(ctx context.Context) error {
	for _, chapter := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Two Chef Servers, which verify every signature", d.start},
		{"Users, keys and rights, as prepare-org makes them", d.prepare},
		{"The first pass copies everything, but for one object", d.bootstrap},
		{"Changes on the primary travel by the change feed", d.change},
		{"Deletions travel too, and are confirmed first", d.remove},
		{"The replica is mended, and the failed object is tried again", d.heal},
		{"A primary of today serves no updated_since: it is scanned, and pushes its changes", d.journal},
		{"Somebody changes the replica by hand; a full compare repairs it", d.drift},
		{"Everything is read on both sides and compared", d.verify},
	} {
		d.print("%s", d.g.Output().Paint(ui.Bold, "== "+chapter.title))
		if err := chapter.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
		d.print("")
	}
	return errors.Join(d.end(), d.mute)
}

func (d *demoStory) close() {
	if d.app != nil {
		_ = d.app.Close()
	}
	for _, s := range []*cheftest.Server{d.primary, d.replica} {
		if s != nil {
			s.Close()
		}
	}
}

func (d *demoStory) print(format string, args ...any) {
	_, err := fmt.Fprintf(d.g.Out, format+"\n", args...)
	d.mute = cmp.Or(d.mute, err)
}

// pass runs the engine once, by the wiring of run.
func (d *demoStory) pass(ctx context.Context, full bool) (replication.Run, error) {
	r, err := passOf(ctx, d.g, d.app, d.pair, replication.PassOptions{Trigger: "manual", Full: full}, true)
	if err != nil {
		return r, err
	}
	c := r.Counts
	if r.Mode == "" {
		d.print("   poll: nothing to do, nothing written (%s)", r.Outcome)
		return r, nil
	}
	d.print("   pass: %s, %d changes read, %d created, %d updated, %d deleted, %d unsynced (%s)", r.Mode, c.Changes, c.Created, c.Updated, c.Deleted, c.Unsynced, r.Outcome)
	return r, nil
}

// end compares what the servers hold, files included, and says so.
func (d *demoStory) end() error {
	left, right := d.primary.Org(demoOrg).Snapshot(), d.replica.Org(demoOrg).Snapshot()
	for path, body := range left {
		if right[path] != body {
			return fmt.Errorf("%s differs on the replica", path)
		}
	}
	if len(left) != len(right) || len(d.replica.Org(demoOrg).Torn()) > 0 {
		return fmt.Errorf("the replica holds %d objects, the primary %d; torn: %v", len(right), len(left), d.replica.Org(demoOrg).Torn())
	}
	d.print("%d requests to the primary, %d to the replica, every signature verified; every file compared byte by byte",
		len(d.primary.Requests()), len(d.replica.Requests()))
	if d.keep {
		d.print("Kept in %s. The servers are gone, the records stay:", d.dir)
		d.print("   chef-sync-ctl --config %s sync-status", d.configPath())
		d.print("   chef-sync-ctl --config %s runs %s", d.configPath(), demoOrg)
		d.print("   chef-sync-ctl --config %s sync-log %s", d.configPath(), demoOrg)
	}
	d.print("in sync: %d objects, 0 unsynced", len(left))
	return nil
}

func (d *demoStory) configPath() string { return filepath.Join(d.dir, "chef-sync.toml") }
