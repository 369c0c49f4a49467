package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
)

func newConfigCmd(env *cmdline.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check and show the configuration",
		GroupID: cmdline.GroupConfig,
		Example: "  chef-sync-ctl config show\n  chef-sync-ctl config validate",
	}
	cmd.AddCommand(newConfigShowCmd(env), newConfigValidateCmd(env))
	return cmd
}

func newConfigShowCmd(env *cmdline.Env) *cobra.Command {
	var changed bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Check the configuration and show each value with its origin",
		Long: `Check the configuration and show each value in effect with its origin: a line of
the file, an environment variable, a profile, or the default. For keys, only their
location is shown, never the key.`,
		Example: `  chef-sync-ctl config show --changed
  chef-sync-ctl config show -c /srv/chef-sync.toml -o json`,
		Args: cmdline.CheckArgs(cobra.NoArgs),
		RunE: env.WithApp(func(_ context.Context, a *app.App) error {
			for _, w := range a.Warnings() {
				env.Output().Note("Warning: %s", w)
			}
			settings := a.Effective()
			if changed {
				settings = slices.DeleteFunc(settings, config.Setting.IsDefault)
			}
			return env.Output().Emit(settings, func(t *ui.Grid) {
				t.Head("KEY", "VALUE", "ORIGIN")
				for _, s := range settings {
					t.Row(s.Key, ui.OrDash(s.Value), s.Origin)
				}
			})
		}),
	}
	cmd.Flags().BoolVar(&changed, "changed", false, "show only values that differ from the default")
	return cmd
}

// validation is the result of config validate.
type validation struct {
	File     string           `json:"file,omitempty"` // "" if none was found
	Valid    bool             `json:"valid"`
	Pairs    int              `json:"pairs"`
	Problems []config.Problem `json:"problems"`
	Warnings []string         `json:"warnings"`
}

func newConfigValidateCmd(env *cmdline.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration for errors",
		Long: `Check the configuration and list all problems, each with its line and column and
what to write instead. The exit code is 0 if the configuration is valid, else 2.
No server is contacted; doctor does that.`,
		Example: "  chef-sync-ctl config validate\n  chef-sync-ctl config validate -c new.toml -o json",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := validation{Problems: []config.Problem{}, Warnings: []string{}}
			a, err := env.Open(cmd.Context())
			var wrong config.Problems
			switch {
			case errors.As(err, &wrong):
				v.File, _ = app.FindConfig(env.ConfigPath) // it was found
				v.Problems = wrong
			case err != nil:
				return err
			default:
				defer a.Close()
				v.File, v.Valid, v.Pairs = a.File, true, len(a.Pairs())
				v.Warnings = append(v.Warnings, a.Warnings()...)
			}
			if err := env.Output().Emit(v, v.show); err != nil || v.Valid {
				return err
			}
			return exit.Silent(exit.Usage)
		},
	}
}

func (v validation) show(t *ui.Grid) {
	for _, p := range v.Problems {
		t.Line("%s %s", t.Mark(ui.Failed), p)
	}
	for _, w := range v.Warnings {
		t.Line("%s %s", t.Mark(ui.Warned), w)
	}
	if !v.Valid {
		t.Line("%s", t.Paint(ui.Red, v.File+" can't be used: "+ui.Plural(len(v.Problems), "problem")))
		return
	}
	text := v.File + " is valid: " + ui.Plural(v.Pairs, "pair")
	if n := len(v.Warnings); n > 0 {
		text += ", " + ui.Plural(n, "warning")
	}
	t.Line("%s", t.Paint(ui.Green, text))
}
