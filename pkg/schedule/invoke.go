package schedule

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"chefsync/pkg/cloud/awserr"
)

// Invoker takes an event for a function, named by its ARN, and doesn't wait for
// what the function does with it.
type Invoker interface {
	Invoke(ctx context.Context, function string, event []byte) error
}

// LambdaAPI is what Lambda needs of AWS Lambda. *lambda.Client is one.
type LambdaAPI interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

var _ LambdaAPI = (*lambda.Client)(nil)

// Lambda invokes functions as EventBridge Scheduler does: asynchronously.
type Lambda struct{ API LambdaAPI }

// Invoke puts an event into the queue of a function.
func (l Lambda) Invoke(ctx context.Context, function string, event []byte) error {
	_, err := l.API.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: event})
	return awserr.Explain(ctx, fmt.Sprintf("send an event of %d bytes", len(event)), "function "+function, err)
}
