package demo

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/differences"
	"chefsync/cli/internal/passes"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// configuration is the configuration of the demo, as a user would write it.
const configuration = `[primary]
url  = %q
user = "ec_sync_user"
key  = "file:keys/primary.pem"

[[replica]]
name = "eu"
url  = %q
user = "ec_sync_user"
key  = "file:keys/eu.pem"

[[organization]]
source   = %q
interval = "1m"

[journal]
token = "file:` + tokenFile + `"

[state]
path = "state.db"

[stage]
path = "stage"
`

func (d *demo) startServers(ctx context.Context) (err error) {
	if d.primary, err = cheftest.Listen("127.0.0.1:0", cheftest.Options{UpdatedSince: true}); err != nil {
		return err
	}
	if d.replica, err = cheftest.Listen("127.0.0.1:0", cheftest.Options{}); err != nil {
		return err
	}
	Fill(d.primary.AddOrg(organization))
	d.replica.AddOrg(organization)
	d.printLine("   primary %s holds %d objects in organization %s", d.primary.URL, len(d.primary.Org(organization).Snapshot()), organization)
	d.printLine("   replica %s holds none", d.replica.URL)
	text := fmt.Sprintf(configuration, d.primary.URL, d.replica.URL, organization)
	if err := os.WriteFile(d.configPath(), []byte(text), 0o600); err != nil {
		return err
	}
	if err := d.writeToken(); err != nil {
		return err
	}
	env := *d.env
	env.ConfigPath = d.configPath()
	if env.LogLevel == "" {
		env.LogLevel = "error" // the demo itself shows the object that fails
	}
	if d.app, err = env.OpenWithoutProfile(ctx); err != nil {
		return err
	}
	d.app.KeepLog()
	pairs := d.app.Pairs()
	if len(pairs) != 1 {
		return errors.New("the configuration doesn't make one pair")
	}
	d.pair = pairs[0]
	d.printLine("   the pair %s is configured in %s", d.pair.ID, filepath.Base(d.configPath()))
	return nil
}

func (d *demo) prepareOrgs(ctx context.Context) error {
	for _, side := range []struct {
		side   prepare.Side
		server config.Server
		real   *cheftest.Server
	}{{prepare.Primary, d.app.Primary, d.primary}, {prepare.Replica, d.pair.Replica, d.replica}} {
		name, key := side.real.Superuser()
		caller, err := d.app.Connect(ctx, side.server, name, key)
		if err != nil {
			return err
		}
		r, err := prepare.Run(ctx, prepare.Options{
			Org: organization, Side: side.side, Name: side.server.User, Caller: caller, Key: d.app.KeyStore(ctx, side.server),
			Connect: func(k *rsa.PrivateKey) (*chef.Client, error) {
				return d.app.Connect(ctx, side.server, side.server.User, k)
			},
		})
		if err != nil {
			return err
		}
		d.printLine("   %s: %s %s, member of %s, rights proved", side.side, r.Actor, r.Name, organization)
	}
	return nil
}

func (d *demo) copyEverything(ctx context.Context) error {
	d.printLine("   (the replica is set to refuse /data/%s/firmware as too large)", Bag)
	d.fault = d.replica.Fault(cheftest.Fault{Path: "re:/data/" + Bag + "(/firmware)?$", Match: isWrite, Status: 413,
		Body: `{"error":"JSON must be no more than 20000 bytes."}`})
	if _, err := d.runPass(ctx, false); err != nil {
		return err
	}
	return d.showUnsynced(ctx, 1)
}

func (d *demo) showUnsynced(ctx context.Context, want int) error {
	state, err := d.app.State(ctx)
	if err != nil {
		return err
	}
	entries, err := state.Entries(ctx, d.pair.ID)
	if err != nil {
		return err
	}
	list := entries.Unsynced()
	for _, u := range list {
		d.printLine("   unsynced: %s, %s", u.Ref, u.Reason)
		d.printLine("             Try: %s", u.Hint)
	}
	if len(list) != want {
		return fmt.Errorf("%d unsynced objects, expected %d", len(list), want)
	}
	if want > 0 {
		d.printLine("   It is set aside and tried again by itself; the others went on.")
	}
	return nil
}

func (d *demo) changeObjects(ctx context.Context) error {
	o := d.primary.Org(organization)
	o.PutRole("web", `{"description":"changed","run_list":["recipe[base]","recipe[apache2]"]}`)
	o.PutDataBagItem("users", "frank", `{"uid":2099,"groups":["staff","admin"]}`)
	o.PutCookbook("apache2", "2.1.0", map[string][]byte{
		"metadata.rb": []byte("name 'apache2'\nversion '2.1.0'\n"), "recipes/default.rb": []byte("package 'apache2'\n# new\n"),
		"files/default/logo.png": Noise("apache2", 4096),
	}, true)
	d.printLine("   a role was changed, an item and a frozen cookbook version added")
	r, err := d.runPass(ctx, false)
	if err != nil {
		return err
	}
	d.printLine("   %s sent; the rest of the cookbook was there already", ui.Bytes(r.Counts.Uploaded))
	r, err = d.runPass(ctx, false)
	if err == nil && r.Counts.Created+r.Counts.Updated+r.Counts.Deleted > 0 {
		err = errors.New("the second pass wrote something")
	}
	return err
}

func (d *demo) deleteObjects(ctx context.Context) error {
	o := d.primary.Org(organization)
	o.DeleteRole("ci")
	o.DeleteCookbook("base", "0.9.1")
	o.DeleteDataBagItem("users", "bob")
	d.printLine("   a role, a cookbook version and an item were deleted")
	_, err := d.runPass(ctx, false)
	return err
}

func (d *demo) retryUnsynced(ctx context.Context) error {
	d.fault.Remove()
	state, err := d.app.State(ctx)
	if err != nil {
		return err
	}
	now := d.env.Now()
	if err := state.ChangeDesired(ctx, d.pair.ID, replication.DesiredChange{Retry: &now, At: now}); err != nil {
		return err
	}
	d.printLine("   as: chef-sync-ctl unsynced-objects %s --retry", organization)
	if _, err := d.runPass(ctx, false); err != nil {
		return err
	}
	return d.showUnsynced(ctx, 0)
}

func (d *demo) repairDrift(ctx context.Context) error {
	d.replica.Org(organization).PutRole("db", `{"description":"changed by hand on the replica"}`)
	d.replica.Org(organization).DeleteEnvironment("staging")
	reports, err := passes.VerifyPairs(ctx, d.env, d.app, []app.Pair{d.pair}, replication.VerifyOptions{Trigger: replication.TriggerManual})
	if err != nil {
		return err
	}
	for _, x := range reports[0].Differences {
		d.printLine("   verify: %s  %s  %s", x.Letter, x.Ref, x.Note)
	}
	if len(reports[0].Differences) != 2 {
		return fmt.Errorf("verify found %d differences, expected 2", len(reports[0].Differences))
	}
	_, err = d.runPass(ctx, true)
	return err
}

func (d *demo) verifyAll(ctx context.Context) error {
	started := time.Now()
	reports, err := passes.VerifyPairs(ctx, d.env, d.app, []app.Pair{d.pair}, replication.VerifyOptions{Trigger: replication.TriggerManual})
	if err != nil {
		return err
	}
	for _, k := range reports[0].Kinds {
		d.printLine("   %-16s %d/%d equal", differences.KindName(k.Kind), k.Equal, k.Primary)
	}
	if !reports[0].Equal() {
		return fmt.Errorf("differences: %v", reports[0].Differences)
	}
	d.printLine("   read in %s", time.Since(started).Round(time.Millisecond))
	return nil
}

// isWrite reports whether a request is one that may change something.
func isWrite(r *http.Request) bool { return r.Method != http.MethodGet }
