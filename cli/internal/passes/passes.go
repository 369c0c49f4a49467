// Package passes runs passes and verifications of pairs.
package passes

import (
	"context"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Run runs one pass and tells observe of its progress; nil leaves it to the one of the fleet. After a refusal the
// keys are read again.
func Run(ctx context.Context, a *app.App, p app.Pair, o replication.PassOptions, observe func(replication.ProgressEvent)) (replication.Run, error) {
	if o.Trigger == replication.TriggerOperator {
		a.ProbeNow()
	}
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return a.Fail(ctx, p, o, err)
	}
	if observe != nil {
		engine.Observe = observe
	}
	run, err := engine.Pass(ctx, o)
	if fault.ClassOf(err) == fault.Denied {
		a.DropClients()
	}
	return run, err
}

// VerifyInBackground runs one verification of the daemon. After a refusal the keys are read
// again.
func VerifyInBackground(ctx context.Context, a *app.App, p app.Pair, o replication.VerifyOptions) (replication.Report, error) {
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return replication.Report{Pair: p.ID, Outcome: replication.OutcomeFailed}, err
	}
	report, err := engine.Verify(ctx, o)
	if fault.ClassOf(err) == fault.Denied {
		a.DropClients()
	}
	return report, err
}

// VerifyPairs verifies each pair. The error joins those of the pairs; the reports are those
// of the others, and of pairs that were compared but could not be recorded or repaired.
func VerifyPairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair,
	o replication.VerifyOptions) ([]replication.Report, error) {
	reports := []replication.Report{}
	progress := env.Output().NewProgress(len(pairs))
	defer progress.End()
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		r, err := VerifyPair(ctx, a, p, o, progress)
		if err == nil || len(r.Kinds) > 0 {
			reports = append(reports, r)
		}
		return app.WrapPair(p.ID, err)
	})
	return reports, failed
}

// VerifyPair verifies one pair.
func VerifyPair(ctx context.Context, a *app.App, p app.Pair, o replication.VerifyOptions, progress *ui.Progress) (replication.Report, error) {
	defer progress.EndPair(p.ID)
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return replication.Report{}, err
	}
	engine.Observe = progress.Observe
	return engine.Verify(ctx, o)
}
