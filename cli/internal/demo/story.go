package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/passes"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
)

// Run runs the demo in a folder, which is removed in the end if keep is "".
func Run(ctx context.Context, env *cmdline.Env, keep string) error {
	dir, removeDir, err := makeFolder(keep)
	if err != nil {
		return err
	}
	defer removeDir()
	d := &demo{env: env, dir: dir, keep: keep != ""}
	defer d.closeServers()
	return d.runChapters(ctx)
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
	env              *cmdline.Env
	dir              string
	keep             bool
	primary, replica *cheftest.Server
	fault            *cheftest.FaultHandle
	app              *app.App
	pair             app.Pair
	outputErr        error // why nothing more can be printed
}

// runChapters runs the chapters. The last line is printed only if both servers hold the
// same bytes.
func (d *demo) runChapters(ctx context.Context) error {
	for _, chapter := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Two Chef Servers, which verify every signature", d.startServers},
		{"Users, keys and rights, as prepare-org makes them", d.prepareOrgs},
		{"The first pass copies everything, but for one object", d.copyEverything},
		{"Changes on the primary travel by the change feed", d.changeObjects},
		{"Deletions travel too, and are confirmed first", d.deleteObjects},
		{"The replica is mended, and the failed object is tried again", d.retryUnsynced},
		{"A primary of today serves no updated_since: it is scanned, and pushes its changes", d.replaceFeed},
		{"Somebody changes the replica by hand; a full compare repairs it", d.repairDrift},
		{"Everything is read on both sides and compared", d.verifyAll},
	} {
		d.printLine("%s", d.env.Output().Paint(ui.Bold, "== "+chapter.title))
		if err := chapter.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
		d.printLine("")
	}
	return errors.Join(d.compareServers(), d.outputErr)
}

func (d *demo) closeServers() {
	if d.app != nil {
		_ = d.app.Close()
	}
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

// runPass runs the engine once, by the wiring of run.
func (d *demo) runPass(ctx context.Context, full bool) (replication.Run, error) {
	progress := d.env.Output().NewProgress(1)
	r, err := passes.Run(ctx, d.app, d.pair, replication.PassOptions{Trigger: replication.TriggerManual, Full: full}, progress.Observe)
	progress.End()
	if err != nil {
		return r, err
	}
	c := r.Counts
	if r.Mode == "" {
		d.printLine("   poll: nothing to do, nothing written (%s)", r.Outcome)
		return r, nil
	}
	d.printLine("   pass: %s, %s read, %d created, %d updated, %d deleted, %d unsynced (%s)",
		r.Mode, ui.Plural(c.Changes, "change"), c.Created, c.Updated, c.Deleted, c.Unsynced, r.Outcome)
	return r, nil
}

// compareServers compares the objects and files of both servers, and prints the result.
func (d *demo) compareServers() error {
	left, right := d.primary.Org(organization).Snapshot(), d.replica.Org(organization).Snapshot()
	for path, body := range left {
		if right[path] != body {
			return fmt.Errorf("%s differs on the replica", path)
		}
	}
	if len(left) != len(right) || len(d.replica.Org(organization).DamagedCookbooks()) > 0 {
		return fmt.Errorf("the replica holds %d objects, the primary %d; torn: %v", len(right), len(left),
			d.replica.Org(organization).DamagedCookbooks())
	}
	d.printLine("%d requests to the primary, %d to the replica, every signature verified; every file compared byte by byte",
		len(d.primary.Requests()), len(d.replica.Requests()))
	if d.keep {
		d.printLine("Kept in %s. The servers are gone, the records stay:", d.dir)
		d.printLine("   chef-sync-ctl --config %s sync-status", d.configPath())
		d.printLine("   chef-sync-ctl --config %s runs %s", d.configPath(), organization)
		d.printLine("   chef-sync-ctl --config %s sync-log %s", d.configPath(), organization)
	}
	d.printLine("in sync: %d objects, 0 unsynced", len(left))
	return nil
}

func (d *demo) configPath() string { return filepath.Join(d.dir, "chef-sync.toml") }
