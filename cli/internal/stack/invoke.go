package stack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// Ask sends an event to functions/sync and waits for what it answers. The event
// is sent once: a second try could find the first one at work.
func (s *Stack) Ask(ctx context.Context, event cloud.SyncEvent) (r cloud.SyncResult, err error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return r, err
	}
	client := lambda.NewFromConfig(s.Config, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &s.Sync, Payload: payload})
	if err != nil {
		return r, explain(ctx, "invoke", "function "+s.Sync, err)
	}
	if out.FunctionError != nil {
		return r, s.failed(out.Payload)
	}
	if err := json.Unmarshal(out.Payload, &r); err != nil {
		return r, &replication.Error{Op: "invoke", Server: "function " + s.Sync, Class: replication.Foreign,
			Hint: "deploy the stack with this version", Err: errors.New("its answer can't be understood")}
	}
	return r, nil
}

// failed is the error of a function that failed.
func (s *Stack) failed(payload []byte) error {
	var said struct {
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(payload, &said) // without a message it failed all the same
	if said.Message == "" {
		said.Message = "it failed"
	}
	return &replication.Error{Op: "invoke", Server: "function " + s.Sync, Class: replication.Transient,
		Hint: "chef-sync-ctl doctor", Err: errors.New(said.Message)}
}

// Failure is the error that an answer tells of, in its words, or nil.
func Failure(r cloud.SyncResult) error {
	if r.Error == "" {
		return nil
	}
	return &replication.Error{Op: r.Error, Class: cmp.Or(r.Class, replication.Transient), Hint: r.Hint}
}
