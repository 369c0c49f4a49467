// Changes is the function that keeps the journal of a primary without
// updated_since. Schedules send it a cloud.ChangesEvent: scan an organization. Its
// URL takes what Chef Servers push and serves the journal as updated_since.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/schedule"
)

func main() {
	environment.Main(func(e *environment.Environment) {
		h := &handler{Environment: e, functions: schedule.Lambda{API: awslambda.NewFromConfig(e.AWS)}}
		lambda.Start(h.handle)
	})
}
