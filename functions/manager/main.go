// Manager is the function that looks after all pairs: it brings a deployed
// configuration to the other functions, makes the schedules follow it, starts
// verifications that are due, and says what an operator should know. What it logs
// is what manager-log shows.
package main

import (
	"sync"

	"github.com/aws/aws-lambda-go/lambda"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/schedule"
)

func main() {
	environment.Main(func(e *environment.Environment) {
		functions := awslambda.NewFromConfig(e.AWS)
		h := handler{
			Environment: e,
			group:       &schedule.Group{API: scheduler.NewFromConfig(e.AWS), Name: e.Resources.ScheduleGroup},
			functions:   schedule.Lambda{API: functions},
			concurrency: functions,
			reserved:    &sync.Once{},
		}
		lambda.Start(h.handle)
	})
}
