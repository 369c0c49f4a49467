package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/setup"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
	"chefsync/pkg/fileowner"
)

// initFlags are the flags of init.
type initFlags struct {
	primary, profile     string
	replicas, orgs, from []string
	sample               bool
}

func newInitCmd(env *cmdline.Env) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Create a configuration file",
		GroupID: cmdline.GroupConfig,
		Long: `Write a first configuration to chef-sync.toml in the current folder, or to the file
given with --config. An existing file is never replaced.

On a terminal, you are asked for your servers and organizations. Otherwise, and with
--sample, the file is a sample that explains all keys. With other flags, it contains
the given servers and organizations, and expects keys in the folder keys next to it;
prepare-org creates them. --from-credentials takes the primary and its organization
from a profile of ~/.chef/credentials, and --from from a knife.rb.

--from also converts chef-sync.rb, the configuration of the earlier Chef product.
That product ran on each replica, with one file there; this one runs anywhere, for
all replicas: give each file as --from NAME=FILE, and the URL of a replica as
--replica NAME=URL. Settings that can't be converted are printed, and kept as
comments.`,
		Example: `  chef-sync-ctl init
  chef-sync-ctl init --sample
  chef-sync-ctl init --primary https://chef.example.com --replica eu=https://chef-eu.example.com --org engineering,sales
  chef-sync-ctl init --from-credentials default --replica eu=https://chef-eu.example.com
  chef-sync-ctl init --from eu=/etc/chef-sync/chef-sync.rb --replica eu=https://chef-eu.example.com`,
		Args: cmdline.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.write(cmd.Context(), env) },
	}
	cmd.Flags().StringVar(&f.primary, "primary", "", "`URL` of the primary")
	cmd.Flags().StringArrayVar(&f.replicas, "replica", nil, "`NAME=URL` of a replica, or its profile of ~/.chef/credentials; may be repeated")
	cmd.Flags().StringSliceVar(&f.orgs, "org", nil, "`organizations` to replicate; SOURCE=DESTINATION if the names differ")
	cmd.Flags().StringVar(&f.profile, "from-credentials", "", "`profile` of ~/.chef/credentials for the primary")
	cmd.Flags().StringArrayVar(&f.from, "from", nil, "convert this `file`: chef-sync.rb of a replica, as NAME=FILE, or a knife.rb; may be repeated")
	cmd.Flags().BoolVar(&f.sample, "sample", false, "write a sample that explains all keys, without questions")
	_ = cmd.RegisterFlagCompletionFunc("replica", cobra.NoFileCompletions)
	return cmd
}

func (f initFlags) write(ctx context.Context, env *cmdline.Env) error {
	path := env.ConfigPath
	if path == "" {
		path = config.FileName
	}
	if err := checkNew(path); err != nil {
		return err // before anything is asked
	}
	text, notes, err := f.text(ctx, env, path)
	if err != nil {
		return err
	}
	if err := writeNew(path, text); err != nil {
		return err
	}
	for _, n := range notes {
		env.Output().Note("%s", n)
	}
	next := "next: chef-sync-ctl prepare-org --all, then: chef-sync-ctl doctor"
	switch {
	case len(notes) > 0:
		next = "edit what could not be converted, then: chef-sync-ctl config validate"
	case text == config.Template():
		next = "edit it, then: chef-sync-ctl doctor"
	}
	env.Output().Note("wrote %s; %s", path, next)
	return nil
}

// checkNew fails if a file exists already, or its folder doesn't.
func checkNew(path string) error {
	folder := filepath.Dir(path)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return exit.Usagef("mkdir -p "+string(ui.Quote(folder)), "the folder %s doesn't exist", folder)
	}
	if _, err := os.Lstat(path); err == nil {
		return exit.Usagef("edit it, or name another file with --config", "%s already exists", path)
	}
	return nil
}

// writeNew writes a file that doesn't exist yet.
func writeNew(path, text string) error {
	f, err := fileowner.Create(path, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return checkNew(path)
	case errors.Is(err, fs.ErrPermission):
		return exit.Usagef("run it as a user with write permission there, or give another file with --config", "%s can't be written: permission denied", path)
	case err != nil:
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// text returns the configuration that the flags or answers describe, or the sample, and
// what could not be converted.
func (f initFlags) text(ctx context.Context, env *cmdline.Env, path string) (text string, notes []string, err error) {
	given := f.primary != "" || f.profile != "" || len(f.replicas)+len(f.orgs)+len(f.from) > 0
	loader := config.ProcessLoader()
	loader.Env = env.LookupEnv
	switch {
	case f.sample && given:
		return "", nil, exit.Usagef("leave the others out, or --sample", "--sample is about no servers")
	case f.sample, !given && !(env.InTTY && env.ErrTTY):
		return config.Template(), nil, nil
	case !given:
		loader.ChefProfile = env.ChefProfile()
		q := setup.Questions{In: env.In, Out: env.Err, Loader: loader, Path: path}
		file, err := q.Ask(ctx)
		if err != nil {
			return "", nil, err
		}
		return file.TOML(), nil, nil
	}
	file, err := f.file(loader)
	if err != nil {
		return "", nil, exit.With(exit.Usage, err, "")
	}
	var missing []string
	if file.Primary.URL == "" {
		missing = append(missing, "--primary URL")
	}
	if len(file.Replicas) == 0 {
		missing = append(missing, "--replica NAME=URL")
	}
	if len(file.Organizations) == 0 && len(f.from) == 0 {
		missing = append(missing, "--org NAME")
	}
	if len(missing) > 0 {
		return "", nil, exit.Usagef("add "+strings.Join(missing, " "), "init needs %s", strings.Join(missing, " and "))
	}
	text = file.TOML()
	if len(file.Notes) == 0 { // else there is something to edit first
		if _, err := loader.Parse(path, []byte(text)); err != nil {
			return "", nil, exit.With(exit.Usage, fmt.Errorf("the configuration would not be valid:\n%w", err), "")
		}
	}
	return text, file.Notes, nil
}

// file collects what flags and files say.
func (f initFlags) file(loader config.Loader) (*setup.File, error) {
	file := &setup.File{}
	for _, o := range f.orgs {
		source, destination, _ := strings.Cut(o, "=")
		file.Organizations = append(file.Organizations, setup.Organization{Source: source, Destination: destination})
	}
	replicas, err := f.replicaServers(loader)
	if err != nil {
		return nil, err
	}
	if replicas, err = f.addFiles(file, replicas); err != nil {
		return nil, err
	}
	file.Replicas = append(file.Replicas, replicas...)
	if f.profile != "" {
		c, err := loader.Credentials(f.profile)
		if err != nil {
			return nil, err
		}
		if c.URL == "" {
			return nil, fmt.Errorf("%s: profile %q has no chef_server_url", c.File, c.Profile)
		}
		if err := file.AddPrimary(c.URL + orgPath(c.Org)); err != nil {
			return nil, err
		}
	}
	if f.primary != "" {
		return file, file.AddPrimary(f.primary)
	}
	return file, nil
}

// replicaServers returns the replicas that --replica names, by URL or profile.
func (f initFlags) replicaServers(loader config.Loader) (servers []setup.Server, err error) {
	for _, r := range f.replicas {
		name, url, found := strings.Cut(r, "=")
		if !found || name == "" || url == "" {
			return nil, fmt.Errorf("--replica can't be %q: expected NAME=URL, such as eu=https://chef-eu.example.com", r)
		}
		if !strings.Contains(url, "://") {
			c, err := loader.Credentials(url)
			if err != nil {
				return nil, fmt.Errorf("--replica %s: %q is not a URL: %w", r, url, err)
			}
			if c.URL == "" {
				return nil, fmt.Errorf("--replica %s: %s: profile %q has no chef_server_url", r, c.File, c.Profile)
			}
			url = c.URL
		}
		servers = append(servers, setup.Server{Name: name, URL: url})
	}
	return servers, nil
}

// addFiles adds what the files of --from say. It returns the replicas that none of them is
// about; the others give a file the name and URL of its replica.
func (f initFlags) addFiles(file *setup.File, replicas []setup.Server) ([]setup.Server, error) {
	for _, from := range f.from {
		name, path, found := strings.Cut(from, "=")
		if !found {
			name, path = "", from
		}
		if setup.IsKnife(path) {
			if err := file.AddKnife(path); err != nil {
				return nil, err
			}
			continue
		}
		replica := setup.Server{Name: name}
		if i := slices.IndexFunc(replicas, func(s setup.Server) bool { return s.Name == name || name == "" && len(f.from) == 1 }); i >= 0 {
			replica = replicas[i]
			replicas = slices.Delete(replicas, i, i+1)
		}
		if err := file.AddChefSync(path, replica.Name, replica.URL); err != nil {
			return nil, err
		}
	}
	return replicas, nil
}

func orgPath(org string) string {
	if org == "" {
		return ""
	}
	return "/organizations/" + org
}
