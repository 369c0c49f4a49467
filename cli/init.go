package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/config"
)

func newInitCmd(env *cmdline.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		Short:   "Write a configuration to begin with",
		GroupID: cmdline.GroupConfig,
		Long: `Write a commented configuration to begin with: chef-sync.toml in this folder, or
the file that --config names. A file that is there is never replaced.`,
		Example: "  chef-sync-ctl init\n  chef-sync-ctl init --config /etc/chef-sync/chef-sync.toml",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			path := env.ConfigPath
			if path == "" {
				path = config.FileName
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return exit.Usagef("edit it, or name another file with --config", "%s is there already", path)
			}
			if err != nil {
				return err
			}
			_, err = f.WriteString(config.Template())
			if err := errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("write %s: %w", path, err)
			}
			env.Output().Note("wrote %s; edit it, then: chef-sync-ctl doctor", path)
			return nil
		},
	}
}
