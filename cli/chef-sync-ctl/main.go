// Command chef-sync-ctl replicates cookbooks, environments, roles and data bags
// from a primary Chef Infra Server to replicas, and shows the status.
package main

import (
	"os"

	"chefsync/cli"
	"chefsync/cli/internal/awsstack"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], awsstack.New))
}
