// Sync is the function that does one pass for one pair. Schedules send it a
// cloud.SyncEvent; so do pushes and people.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"chefsync/functions/internal/environment"
)

func main() {
	environment.Main(func(e *environment.Environment) { lambda.Start(handler{e}.handle) })
}
