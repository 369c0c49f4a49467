// Package invoke sends events to the functions of a stack, and doesn't wait for what
// they do with them. An event may be delivered twice, which the lease of a pair or source makes
// harmless, and may be lost: the next run of the manager sends it again.
package invoke

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"chefsync/pkg/cloud/awserr"
)

// Send puts an event into the queue of a function.
func Send(ctx context.Context, client *lambda.Client, function string, event any) error {
	text, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	_, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: text})
	return awserr.Wrap(ctx, fmt.Sprintf("send an event of %d bytes", len(text)), "function "+function, err)
}
