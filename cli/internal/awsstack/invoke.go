package awsstack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/fault"
)

// InvokeSync implements [stack.Client]. The event is sent once: a second attempt could find the first one still running.
func (s *client) InvokeSync(ctx context.Context, event cloud.SyncEvent) (r cloud.SyncResult, err error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return r, err
	}
	client := lambda.NewFromConfig(s.config, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &s.Sync, Payload: payload})
	if err != nil {
		return r, awserr.Wrap(ctx, "invoke", "function "+s.Sync, err)
	}
	if out.FunctionError != nil {
		return r, s.functionError(out.Payload)
	}
	if err := json.Unmarshal(out.Payload, &r); err != nil {
		return r, &fault.Error{Op: "invoke", Server: "function " + s.Sync, Class: fault.Foreign,
			Hint: "deploy the stack with this version", Err: errors.New("its answer can't be decoded")}
	}
	if r.Error != "" {
		err = &fault.Error{Op: r.Error, Class: cmp.Or(r.Class, fault.Transient), Hint: r.Hint}
	}
	return r, err
}

// functionError returns the error of an invocation that failed.
func (s *client) functionError(payload []byte) error {
	var failure struct {
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(payload, &failure) // without a message it failed all the same
	if failure.Message == "" {
		failure.Message = "it failed"
	}
	return &fault.Error{Op: "invoke", Server: "function " + s.Sync, Class: fault.Transient,
		Hint: "chef-sync-ctl doctor", Err: errors.New(failure.Message)}
}
