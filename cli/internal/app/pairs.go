package app

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// WrapPair adds the pair to an error; nil stays nil.
func WrapPair(id replication.PairID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pair %s: %w", id, err)
}

// ForEachPair calls do for one pair after the other, whatever the others return, and
// joins the errors. The end of ctx ends it.
func ForEachPair(ctx context.Context, pairs []Pair, do func(Pair) error) error {
	var failed []error
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			failed = append(failed, fmt.Errorf("pair %s was not started: %w", p.ID, err))
			break
		}
		failed = append(failed, do(p))
	}
	return exit.Join(failed...)
}

// HintRemote adds a hint to an error of work that was done from this machine on a stack:
// the stack's functions may reach what it doesn't.
func HintRemote(a *App, err error, remote string) error {
	class := fault.ClassOf(err)
	if a.Stack == nil || err == nil || class != fault.Unreachable && class != fault.Denied {
		return err
	}
	hint := "this was tried from this machine, not from the stack's functions; to see what they can reach: chef-sync-ctl doctor"
	if remote != "" {
		hint += ", or let them do it: " + remote
	}
	if own := exit.Hint(err); own != "" {
		hint = own + ", or: " + hint
	}
	return exit.With(exit.Of(err), err, hint)
}

// namesShown is the number of pairs that PairNames names.
const namesShown = 5

// PairNames returns the names of pairs, joined by commas, and how many there are if they
// are many.
func PairNames(pairs []Pair) string {
	var names []string
	for _, p := range pairs[:min(len(pairs), namesShown)] {
		names = append(names, p.ID.String())
	}
	text := strings.Join(names, ", ")
	if more := len(pairs) - len(names); more > 0 {
		text = fmt.Sprintf("%d pairs: %s and %d more", len(pairs), text, more)
	}
	return text
}

// PairIDs returns the ids of pairs.
func PairIDs(pairs []Pair) []replication.PairID {
	ids := make([]replication.PairID, len(pairs))
	for i, p := range pairs {
		ids[i] = p.ID
	}
	return ids
}

// Runs returns the newest runs of a pair as they are to be shown.
func (a *App) Runs(ctx context.Context, id replication.PairID, limit int) ([]replication.Run, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	st, err := state.Pair(ctx, id) // before the runs: see replication.ShownRun
	if err != nil {
		return nil, err
	}
	if a.Abandoned(st.Lease) {
		st.Lease.Owner = ""
	}
	runs, err := state.Runs(ctx, id, limit)
	for i := range runs {
		runs[i] = replication.ShownRun(runs[i], st, a.Now())
	}
	return runs, err
}

// KindsOf returns the kinds that the pairs of an organization of a server replicate.
func KindsOf(pairs []Pair, side prepare.Side, server config.Server, org string) (kinds []object.Kind) {
	for _, p := range pairs {
		if side == prepare.Primary && p.SourceOrg == org || side == prepare.Replica && p.ID.Replica == server.Name && p.ID.Org == org {
			kinds = append(kinds, p.Kinds...)
		}
	}
	return kinds
}

// ForEachParallel calls f for all pairs, some of each replica at once.
func ForEachParallel(pairs []Pair, parallel int, f func(i int, p Pair)) {
	all := map[string]chan struct{}{}
	for _, p := range pairs {
		if all[p.ID.Replica] == nil {
			all[p.ID.Replica] = make(chan struct{}, max(parallel, 1))
		}
	}
	var group sync.WaitGroup
	for i, p := range pairs {
		group.Go(func() {
			slots := all[p.ID.Replica]
			slots <- struct{}{}
			defer func() { <-slots }()
			f(i, p)
		})
	}
	group.Wait()
}
