package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// open reads the configuration for a command.
func (g *globals) open(ctx context.Context) (*app.App, error) {
	return app.Open(ctx, g.appOptions(g.chefProfileName()))
}

// openWithoutProfile leaves the profile to the command itself: prepare-org signs
// as the person, not as the replication.
func (g *globals) openWithoutProfile(ctx context.Context) (*app.App, error) {
	return app.Open(ctx, g.appOptions(""))
}

func (g *globals) appOptions(profile string) app.Options {
	level := g.logLevel
	if level == "" && !g.daemon && g.format != ui.Table {
		level = app.LogOff // stderr is for one JSON object
	}
	return app.Options{
		ConfigPath: g.config, ChefProfile: profile, Stack: g.stack, Table: g.table, Profile: g.profile, Region: g.region, Env: g.env, Now: g.now,
		Owner: g.owner,
		Note:  func(text string) { g.output().Note("Warning: %s", text) },
		Log:   app.LogOptions{Stderr: g.err, Format: g.logFormat, Level: level, Daemon: g.daemon},
	}
}

// chefProfileName is the Chef profile asked for, as Chef's own tools find it.
func (g *globals) chefProfileName() string {
	if g.chefProfile != "" {
		return g.chefProfile
	}
	p, _ := g.env("CHEF_PROFILE")
	return p
}

// withPairs runs a command on the pairs that its arguments name.
func (g *globals) withPairs(f func(ctx context.Context, a *app.App, pairs []app.Pair) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a, err := g.open(cmd.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		pairs, err := a.Select(args...)
		if err != nil {
			return err
		}
		return f(cmd.Context(), a, pairs)
	}
}

// completePairs completes organizations and pairs from the configuration.
func (g *globals) completePairs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	a, err := g.open(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer a.Close()
	var words []string
	for _, p := range a.Pairs() {
		words = append(words, p.ID.Org, p.ID.String())
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// confirm asks on a terminal; elsewhere it wants --yes.
func (g *globals) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !g.inTTY {
		return exit.Usagef("add --yes", "%s needs a confirmation, and there is no terminal to ask on", question)
	}
	fmt.Fprintf(g.err, "%s? [y/N] ", ui.Safe(question))
	line, err := bufio.NewReader(g.in).ReadString('\n')
	if err == nil {
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
	}
	return exit.With(exit.Failed, errors.New("not confirmed; nothing was done"), "")
}

// ofPair says of an error whose it is.
func ofPair(id replication.PairID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pair %s: %w", id, err)
}

// eachPair works on one pair after the other, also when it fails with another, and
// joins the errors. A signal ends it.
func eachPair(ctx context.Context, pairs []app.Pair, do func(app.Pair) error) error {
	var failed []error
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			failed = append(failed, fmt.Errorf("pair %s was not begun: %w", p.ID, err)) // a person's ctrl-C
			break
		}
		failed = append(failed, do(p))
	}
	return exit.Join(failed...)
}

// switchSchedules makes the schedules of pairs follow what the state says already.
// It is the state that counts: without its schedule a pair that was started only
// waits, and a schedule only finds that its pair is stopped.
func switchSchedules(ctx context.Context, a *app.App, pairs []app.Pair, enable bool) error {
	if a.Stack == nil {
		return nil
	}
	group, turn, done := a.Stack.Schedules(), "disable", "stopped"
	call := group.Disable
	if enable {
		call, turn, done = group.Enable, "enable", "started"
	}
	err := eachPair(ctx, pairs, func(p app.Pair) error { return call(ctx, p.ID) })
	if err == nil {
		return nil
	}
	return exit.With(exit.Of(err), fmt.Errorf("the pairs are %s, but a schedule is not: %w", done, err),
		strings.TrimPrefix(exit.Hint(err)+"; ", "; ")+"the manager of the stack will "+turn+" it within minutes")
}

// fromHere says of an error of work that this machine does on a stack where else
// it may succeed.
func fromHere(a *app.App, err error, remote string) error {
	class := replication.ClassOf(err)
	if a.Stack == nil || err == nil || class != replication.Unreachable && class != replication.Denied {
		return err
	}
	hint := "this was tried from here, not from the stack's functions; see what they can reach with: chef-sync-ctl doctor"
	if remote != "" {
		hint += ", or let them do it: " + remote
	}
	if own := exit.Hint(err); own != "" {
		hint = own + ", or: " + hint
	}
	return exit.With(exit.Of(err), err, hint)
}

// pollEvery is how often a waiting command looks at the state.
const pollEvery = 200 * time.Millisecond

// wait polls until done says so, or fails when the time that is left of a timeout
// is over.
func wait(ctx context.Context, left, timeout time.Duration, what string, done func(context.Context) (bool, error)) error {
	deadline := time.NewTimer(left)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return exit.With(exit.Temporary, fmt.Errorf("%s did not happen within %s", what, timeout), "look at it with: chef-sync-ctl sync-status")
		case <-tick.C:
		}
	}
}

// waitEach waits for each of the pairs, all in the same time, also when another
// fails.
func waitEach(ctx context.Context, pairs []app.Pair, timeout time.Duration, what string, done func(context.Context, replication.PairID) (bool, error)) error {
	end := time.Now().Add(timeout)
	return eachPair(ctx, pairs, func(p app.Pair) error {
		return wait(ctx, time.Until(end), timeout, what+p.ID.String(), func(ctx context.Context) (bool, error) { return done(ctx, p.ID) })
	})
}

// ptr makes a directive's field.
func ptr[T any](v T) *T { return &v }

// namesOf lists pairs for a person.
func namesOf(pairs []app.Pair) string {
	names := make([]string, len(pairs))
	for i, p := range pairs {
		names[i] = p.ID.String()
	}
	return strings.Join(names, ", ")
}

// idsOf lists the ids of pairs.
func idsOf(pairs []app.Pair) []replication.PairID {
	ids := make([]replication.PairID, len(pairs))
	for i, p := range pairs {
		ids[i] = p.ID
	}
	return ids
}
