package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
)

// versionInfo is what version prints.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd(env *cmdline.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		GroupID: cmdline.GroupConfig,
		Example: "  chef-sync-ctl version\n  chef-sync-ctl version -o json",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := readVersion()
			return env.Output().Emit(v, func(t *ui.Grid) {
				line := "chef-sync-ctl " + v.Version
				if v.Revision != "" {
					line += " (" + v.Revision + ")"
				}
				t.Line("%s %s %s", line, v.Go, v.Platform)
			})
		},
	}
}

func readVersion() versionInfo {
	v := versionInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
