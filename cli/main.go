// Command chef-sync-ctl replicates cookbooks, environments, roles and data bags
// from a primary Chef Infra Server to replicas, and shows how that goes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"chefsync/cli/internal/exit"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is the program. The first signal asks it to end well, the second one ends
// it at once.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // from here on a signal has its default effect
	}()
	return execute(ctx, args, processStreams())
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, s streams) int {
	g := newGlobals(s)
	root := newRootCmd(g)
	root.SetArgs(args)
	_, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(exit.OK)
	}
	if ctx.Err() != nil && exit.Of(err) == exit.Failed {
		err = exit.With(exit.Interrupted, err, "")
	}
	exit.Report(s.err, err, g.machine(args))
	return int(exit.Of(err))
}
