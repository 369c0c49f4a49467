// Command demo is chef-sync-ctl without AWS, for make demo: the AWS SDK is more than a
// third of what the program takes to compile.
package main

import (
	"os"

	"chefsync/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], nil))
}
