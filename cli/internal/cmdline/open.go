package cmdline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/logline"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/ui"
)

// Open opens the configuration.
func (env *Env) Open(ctx context.Context) (*app.App, error) {
	return app.Open(ctx, env.appOptions(env.ChefProfile()))
}

// OpenWithoutProfile opens the configuration without the Chef profile: prepare-org signs
// as the user of the profile, replication doesn't.
func (env *Env) OpenWithoutProfile(ctx context.Context) (*app.App, error) {
	return app.Open(ctx, env.appOptions(""))
}

func (env *Env) appOptions(profile string) app.Options {
	level := env.LogLevel
	if level == "" && !env.Daemon && (env.Format.IsData() || env.TellsAll && env.ErrTTY) {
		level = app.LogOff // stderr is for one JSON object, or says it in other words
	}
	return app.Options{
		ConfigPath: env.ConfigPath, ChefProfile: profile, Stack: env.Stack, Table: env.Table, Profile: env.profile, Region: env.region, AWS: env.AWS,
		Env: env.LookupEnv, Now: env.Now,
		Owner: env.Owner,
		Note:  func(text string) { env.Output().Note("Warning: %s", text) },
		Log:   app.LogOptions{Stderr: env.Err, Format: env.logFormat, Print: env.linePrinter(), Level: level, Daemon: env.Daemon},
	}
}

// linePrinter writes a readable log to a terminal; it is nil if there is none.
func (env *Env) linePrinter() func(logstore.Line) error {
	out := env.Output()
	if env.logFormat != "auto" || !out.ErrTTY {
		return nil
	}
	out.Color = env.ColorsErrors()
	return func(l logstore.Line) error {
		return out.WriteErr(logline.Short(out, l, env.Now()))
	}
}

// ChefProfile returns the name of the Chef profile, as Chef's own tools find it.
func (env *Env) ChefProfile() string {
	if env.chefProfile != "" {
		return env.chefProfile
	}
	p, _ := env.LookupEnv("CHEF_PROFILE")
	return p
}

// Confirm asks for a confirmation on a terminal; elsewhere it requires --yes.
func (env *Env) Confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !env.InTTY {
		return exit.Usagef("add --yes", "%s: confirmation needed, and stdin isn't a terminal", question)
	}
	fmt.Fprintf(env.Err, "%s? [y/N] ", ui.Safe(question))
	answer := make(chan string, 1) // the reading goes on after an interruption
	go func() {
		line, err := bufio.NewReader(env.In).ReadString('\n')
		if err != nil {
			line = ""
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(env.Err)
		return fmt.Errorf("not confirmed; nothing was done: %w", ctx.Err())
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
	}
	return exit.With(exit.Failed, errors.New("not confirmed; nothing was done"), "")
}
