package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/chef/cheftest"
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
interval = "2s"

[journal]
scan_every = "2s"

[state]
path = "state.db"

[stage]
path = "stage"

[status]
listen = %q
`

// statusAddress is the address of the status page, if it is free.
const statusAddress = "127.0.0.1:9997"

func (d *demo) startServers(context.Context) (err error) {
	if d.primary, err = cheftest.Listen("127.0.0.1:0", cheftest.Options{}); err != nil {
		return err
	}
	if d.replica, err = cheftest.Listen("127.0.0.1:0", cheftest.Options{}); err != nil {
		return err
	}
	status, err := listen(statusAddress)
	if err != nil {
		return err
	}
	d.status = status.Addr().String()
	if err := status.Close(); err != nil { // the daemon listens there
		return err
	}
	Fill(d.primary.AddOrg(organization))
	d.replica.AddOrg(organization)
	for _, s := range []*cheftest.Server{d.primary, d.replica} {
		if err := d.writeAdmin(s); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(configuration, d.primary.URL, d.replica.URL, organization, d.status)
	d.printLine("primary      %s, organization %s with %d objects", d.primary.URL, organization, len(d.primary.Org(organization).Snapshot()))
	d.printLine("replica eu   %s, organization %s, empty", d.replica.URL, organization)
	d.printLine("config       %s", d.configPath())
	return os.WriteFile(d.configPath(), []byte(text), 0o600)
}

// listen listens on an address, or on another one of this machine if it is taken.
func listen(wanted string) (net.Listener, error) {
	if l, err := net.Listen("tcp", wanted); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// serverName returns the name of a server in the configuration.
func (d *demo) serverName(s *cheftest.Server) string {
	if s == d.primary {
		return "primary"
	}
	return "eu"
}

// adminKey returns the file with the key of a server's superuser.
func (d *demo) adminKey(s *cheftest.Server) string {
	return filepath.Join(d.dir, "admin-"+d.serverName(s)+".pem")
}

// knifeConfig returns the file with knife's settings for a server.
func (d *demo) knifeConfig(s *cheftest.Server) string {
	return filepath.Join(d.dir, "knife-"+d.serverName(s)+".rb")
}

// writeAdmin writes the key of a server's superuser, and knife's settings with it.
func (d *demo) writeAdmin(s *cheftest.Server) error {
	name, key := s.Superuser()
	if err := os.WriteFile(d.adminKey(s), cheftest.PrivatePEM(key), 0o600); err != nil {
		return err
	}
	return os.WriteFile(d.knifeConfig(s), fmt.Appendf(nil, "node_name '%s'\nclient_key '%s'\nchef_server_url '%s'\n",
		name, d.adminKey(s), s.Org(organization).URL()), 0o600)
}

func (d *demo) prepareOrgs(ctx context.Context) error {
	name, _ := d.primary.Superuser()
	line := "prepare-org " + organization + " --admin-user " + name
	for _, s := range []*cheftest.Server{d.primary, d.replica} {
		line += " --admin-key " + d.serverName(s) + "=" + d.adminKey(s)
	}
	return d.runCommand(ctx, exit.OK, line)
}

func (d *demo) copyEverything(ctx context.Context) error {
	d.replica.Fault(cheftest.Fault{Path: "re:/data/" + Bag + "(/firmware)?$", Match: isWrite, Status: http.StatusRequestEntityTooLarge,
		Body: `{"error":"JSON must be no more than 20000 bytes."}`})
	if err := d.runCommand(ctx, exit.Partial, "run --once"); err != nil {
		return err
	}
	return d.runCommand(ctx, exit.OK, "unsynced-objects "+organization)
}

// isWrite reports whether a request is one that may change something.
func isWrite(r *http.Request) bool { return r.Method != http.MethodGet }

func (d *demo) retryUnsynced(ctx context.Context) error {
	d.replica.ClearFaults()
	if err := d.runCommand(ctx, exit.OK, "unsynced-objects "+organization+" --retry"); err != nil {
		return err
	}
	return d.runCommand(ctx, exit.OK, "run --once")
}

func (d *demo) changeObjects(ctx context.Context) error {
	o := d.primary.Org(organization)
	o.PutRole("web", `{"description":"the web role","run_list":["recipe[base]","recipe[apache2]"]}`)
	files := cookbookFiles("base", "1.0.0")
	files["recipes/default.rb"] = append(files["recipes/default.rb"], "package 'curl'\n"...)
	o.PutCookbook("base", "1.0.0", files, false)
	o.PutDataBagItem("users", "frank", `{"uid":2099,"groups":["staff","admin"]}`)
	o.DeleteDataBagItem("users", "bob")
	for _, step := range []struct {
		want exit.Code
		line string
	}{
		{exit.OK, "plan " + organization + " --full"},
		{exit.Differences, "diff " + organization + " cookbooks/base/1.0.0"},
		{exit.OK, "run --once"},
	} {
		if err := d.runCommand(ctx, step.want, step.line); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) deleteRoles(ctx context.Context) error {
	o, roles := d.primary.Org(organization), map[string]string{}
	for _, r := range roleNames() {
		roles[r] = string(o.JSON("/roles/" + r))
		o.DeleteRole(r)
	}
	if err := d.runCommand(ctx, exit.Held, "run --once"); err != nil {
		return err
	}
	d.printLine("The replica still has them. They are restored on the primary:")
	for r, text := range roles {
		o.PutRole(r, text)
	}
	return d.runCommand(ctx, exit.OK, "run --once")
}

func (d *demo) repairDrift(ctx context.Context) error {
	d.replica.Org(organization).PutEnvironment("staging", `{"description":"changed on the replica"}`)
	if err := d.runCommand(ctx, exit.Differences, "verify "+organization); err != nil {
		return err
	}
	return d.runCommand(ctx, exit.OK, "verify "+organization+" --repair --yes")
}

func (d *demo) showStatus(ctx context.Context) error {
	if err := d.runCommand(ctx, exit.OK, "sync-status"); err != nil {
		return err
	}
	return d.runCommand(ctx, exit.OK, "runs "+organization)
}
