package main

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// diagnosis is what doctor prints.
type diagnosis struct {
	State  doctor.State   `json:"state"`
	Checks []doctor.Check `json:"checks"`
}

func newDoctorCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Find out what keeps replication from working",
		GroupID: groupConfig,
		Long: `Look at the configuration, keys, servers, clocks, rights, feeds, state, stage and
the last errors, and say for each failure what to try. Nothing is changed on any
server.`,
		Example: "  chef-sync-ctl doctor\n  chef-sync-ctl doctor -o json | jq '.checks[] | select(.state==\"fail\")'",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := diagnose(cmd.Context(), g)
			if err != nil {
				return err
			}
			d := diagnosis{doctor.Worst(checks), checks}
			if err := g.output().Emit(d, func(t *ui.Grid) { showDiagnosis(t, d) }); err != nil {
				return err
			}
			return exit.Silent(diagnosisCode(d))
		},
	}
}

// diagnose runs all checks. A configuration that can't be read is a check too.
func diagnose(ctx context.Context, g *globals) ([]doctor.Check, error) {
	conf := &doctor.List{Group: "configuration"}
	a, err := g.open(ctx)
	if err != nil {
		conf.Fail("read", exit.Hint(err), err)
		return conf.Checks, nil
	}
	defer a.Close()
	conf.OK("read", "%s", a.File)
	conf.OK("pairs", "%s, each destination in one pair only", ui.Plural(len(a.Pairs()), "pair"))
	for _, w := range a.Warnings() {
		conf.Warn("look", "", "%s", w)
	}
	keys := map[string]string{"primary": a.Primary.Key.String()}
	for _, r := range a.Replicas {
		keys["replica "+r.Name] = r.Key.String()
	}
	doctor.KeyFiles(conf, keys)

	groups := []func(context.Context) []doctor.Check{func(context.Context) []doctor.Check { return conf.Checks }}
	groups = append(groups, serverChecks(ctx, g, a)...)
	groups = append(groups, func(ctx context.Context) []doctor.Check { return localChecks(ctx, a) })
	return doctor.All(ctx, groups...), nil
}

// serverChecks are the checks of the primary and of each replica.
func serverChecks(ctx context.Context, g *globals, a *app.App) (groups []func(context.Context) []doctor.Check) {
	add := func(s config.Server, group string, side prepare.Side, orgs []string) *doctor.Server {
		client, problem := a.Client(ctx, s)
		prober, err := a.Prober(ctx, s)
		if err != nil {
			prober, problem = http.DefaultClient, err
		}
		return &doctor.Server{
			Group: group, Side: side, Orgs: orgs, User: s.User, Client: client, Problem: problem,
			Key: a.KeyStore(ctx, s), Prober: prober, URL: s.URL, Now: g.now,
		}
	}
	sources, destinations := orgsOf(a.Pairs())
	primary := add(a.Primary, "primary", prepare.Primary, sources)
	primary.Feed = a.ProbeFeed
	groups = append(groups, primary.Check)
	for _, r := range a.Replicas {
		groups = append(groups, add(r, "replica "+r.Name, prepare.Replica, destinations[r.Name]).Check)
	}
	return groups
}

// orgsOf lists the source organizations and each replica's destinations.
func orgsOf(pairs []app.Pair) (sources []string, destinations map[string][]string) {
	destinations = map[string][]string{}
	seen := map[string]bool{}
	for _, p := range pairs {
		if !seen[p.SourceOrg] {
			seen[p.SourceOrg] = true
			sources = append(sources, p.SourceOrg)
		}
		destinations[p.ID.Replica] = append(destinations[p.ID.Replica], p.ID.Org)
	}
	return sources, destinations
}

// localChecks look at this machine: state, stage, what the state remembers.
func localChecks(ctx context.Context, a *app.App) []doctor.Check {
	l := &doctor.List{Group: "this machine"}
	doctor.Folder(l, "stage", a.StagePath)
	doctor.Folder(l, "state folder", filepath.Dir(a.StatePath))
	state, err := a.State(ctx)
	if err != nil {
		l.Fail("state", "", err)
		return l.Checks
	}
	l.OK("state", "%s, schema %d", a.StatePath, replication.SchemaVersion)
	pairs := &doctor.List{Group: "pairs"}
	doctor.Pairs(ctx, pairs, state, idsOf(a.Pairs()))
	return append(l.Checks, pairs.Checks...)
}

func showDiagnosis(t *ui.Grid, d diagnosis) {
	group := ""
	for _, c := range d.Checks {
		if c.Group != group {
			group = c.Group
			t.Line("%s", t.Paint(ui.Bold, group))
		}
		t.Line("  %s %s: %s", mark(t, c.State), c.Name, c.Detail)
		if c.Hint != "" {
			t.Line("      Try: %s", c.Hint)
		}
	}
	switch d.State {
	case doctor.OK:
		t.Line("%s", t.Paint(ui.Green, "all is well"))
	case doctor.Warn:
		t.Line("%s", t.Paint(ui.Yellow, "all works; look at the lines with !"))
	default:
		t.Line("%s", t.Paint(ui.Red, "something doesn't work; see the lines with ✗"))
	}
}

// diagnosisCode is the exit code of the first failure.
func diagnosisCode(d diagnosis) exit.Code {
	for _, c := range d.Checks {
		if c.State != doctor.Fail {
			continue
		}
		switch {
		case c.Group == "configuration" && c.Name == "read":
			return exit.Usage
		case c.Class != "":
			return exit.OfClass(c.Class)
		}
		return exit.Failed
	}
	return exit.OK
}
