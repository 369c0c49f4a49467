// Seed prepares the local AWS and its Chef Servers: it fills a Chef Server with a
// sample of what organizations hold, changes it, and keeps a key in Secrets
// Manager. ../README.md says where it is used.
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

  fill    make a Chef Server hold the sample
  change  change, add and delete some of the sample; fill takes it back
  keep    keep a key in Secrets Manager at AWS_ENDPOINT_URL, in place of an older one

Other objects of the server stay as they are, but those of the sample's names don't.
Don't point it at a server that is in use.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

// run does what the arguments ask for.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do\n%s", usage)
	}
	verb, server, secret := args[0], server{}, ""
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
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
		return fmt.Errorf("%q is nothing that can be done\n%s", verb, usage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is one argument too many\n%s", flags.Arg(0), usage)
	}
	for name, value := range needed {
		if *value == "" {
			return fmt.Errorf("-%s is missing\n%s", name, usage)
		}
	}
	if verb == "keep" {
		return keep(ctx, out, secret, server.key)
	}
	return server.show(ctx, out, verb == "change")
}
