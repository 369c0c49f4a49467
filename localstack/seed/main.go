// Seed prepares the local AWS and its Chef Servers: it writes a sample organization to a
// Chef Server, changes it, and stores a key in Secrets Manager. See ../README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

const usage = `usage: seed fill|change -url URL -key FILE [-user NAME] [-organization NAME]
       seed keep -secret NAME -key FILE

  fill    write the sample to a Chef Server
  change  change, add and delete some of the sample; fill undoes it
  keep    store a key in Secrets Manager at AWS_ENDPOINT_URL, replacing an older one

Objects with names of the sample are overwritten; others stay as they are. Don't use it
for a server in production.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := runCommand(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

// runCommand runs the command of the arguments.
func runCommand(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("a command is missing\n%s", usage)
	}
	verb, server, secret := args[0], server{}, ""
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error has it
	flags.StringVar(&server.key, "key", "", "")
	needed := map[string]*string{"key": &server.key}
	switch verb {
	case "fill", "change":
		flags.StringVar(&server.url, "url", "", "")
		flags.StringVar(&server.user, "user", "admin", "")
		flags.StringVar(&server.organization, "organization", "", "")
		needed["url"] = &server.url
	case "keep":
		flags.StringVar(&secret, "secret", "", "")
		needed["secret"] = &secret
	default:
		return fmt.Errorf("unknown command %q\n%s", verb, usage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q\n%s", flags.Arg(0), usage)
	}
	for name, value := range needed {
		if *value == "" {
			return fmt.Errorf("-%s is missing\n%s", name, usage)
		}
	}
	if verb == "keep" {
		return storeKey(ctx, out, secret, server.key)
	}
	return server.applySample(ctx, out, verb == "change")
}
