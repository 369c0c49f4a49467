// Package cli is the program chef-sync-ctl: its commands, one in a file.
package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/stack"
)

// Main runs the program and returns its exit code. The first signal asks it to end well,
// the second one ends it at once. How AWS is reached is the main program's choice: aws is
// awsstack.New, or nil for a program that compiles in half the time.
func Main(args []string, aws func(stack.Access) stack.AWS) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // from here on a signal has its default effect
	}()
	streams := cmdline.ProcessStreams()
	streams.AWS = aws
	return executeArgs(ctx, args, streams)
}

// executeArgs runs one command line and returns its exit code.
func executeArgs(ctx context.Context, args []string, s cmdline.Streams) int {
	env := cmdline.NewEnv(s)
	root := newRootCmd(env)
	root.SetArgs(args)
	if cmdline.IsCompletion(args) {
		cmdline.PlainDescriptions(root)
	}
	_, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(exit.OK)
	}
	if ctx.Err() != nil && exit.Of(err) == exit.Failed {
		err = exit.With(exit.Interrupted, err, "")
	}
	exit.Report(env.Err, err, env.WantsData(args), env.ColorsErrors())
	return int(exit.Of(err))
}

// Command returns the tree of commands, for the documentation of it.
func Command() *cobra.Command {
	return newRootCmd(cmdline.NewEnv(cmdline.Streams{LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now}))
}
