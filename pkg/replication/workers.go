package replication

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// forEach calls do for 0 … n-1, at most workers at a time, until one returns an
// error or the guard says stop. Indexes with the same lane (nil: none have) are
// done one after the other, in order.
func (g *guard) forEach(n, workers int, lane func(int) string, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(g.hard)
	group.SetLimit(workers)
	for _, indexes := range groupByLane(n, lane) {
		group.Go(func() error {
			for _, i := range indexes {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := g.stopError(); err != nil {
					return err
				}
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if g.hard.Err() != nil {
		return context.Cause(g.hard)
	}
	return err
}

// groupByLane groups indexes that must be done one after the other.
func groupByLane(n int, lane func(int) string) [][]int {
	var out [][]int
	at := map[string]int{}
	for i := range n {
		if lane == nil {
			out = append(out, []int{i})
			continue
		}
		key := lane(i)
		j, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, []int{i})
			continue
		}
		out[j] = append(out[j], i)
	}
	return out
}
