package dynamostate

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/replication"
)

// errMoved: what was read doesn't belong together any more; read again.
var errMoved = errors.New("the records are changing")

// opRead is the operation of errors about damaged records.
const opRead = "read record"

func damaged(err error) error {
	return &replication.Error{
		Op:    opRead,
		Class: replication.Local,
		Hint:  "restore the table and its blobs to a point in time, or delete the pair's item in the partition " + pairsPK + ": a full compare then starts over and loses nothing on the replica",
		Err:   err,
	}
}

func tooLarge(what string, size int) error {
	return &replication.Error{
		Op: "write record", Class: replication.Local, Hint: "shorten it; DynamoDB takes no item above 400 KB",
		Err: fmt.Errorf("%s takes %d bytes", what, size),
	}
}

func checkSchema(schema int64) error { return checkVersion(schema, replication.SchemaVersion) }

func checkVersion(schema, known int64) error {
	if schema > known {
		return fmt.Errorf("%w: the record has version %d, this program knows %d", replication.ErrSchema, schema, known)
	}
	return nil
}

// explain gives an error its class and a hint. Errors that already say enough
// stay as they are.
func (s *State) explain(ctx context.Context, op string, err error) error {
	var known *replication.Error
	var leased *replication.LeasedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known), errors.As(err, &leased):
		return err
	case errors.Is(err, replication.ErrFenced):
		return fmt.Errorf("%s: %w", op, err)
	case errors.Is(err, replication.ErrSchema):
		return &replication.Error{Op: op, Class: replication.Local, Err: err,
			Hint: "use the newer version of chef-sync-ctl and of the functions again"}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	class, hint := s.judge(err)
	return &replication.Error{Op: op, Server: "table " + s.table, Class: class, Hint: hint, Err: awserr.Plain(err)}
}

// judge says what an error of AWS means and what to try.
func (s *State) judge(err error) (replication.Class, string) {
	var call *smithy.OperationError
	permission := "dynamodb"
	if errors.As(err, &call) {
		permission += ":" + call.Operation()
	}
	switch awserr.Code(err) {
	case "AccessDeniedException", "AccessDenied", "NotAuthorized", "KMSAccessDeniedException":
		return replication.Denied, fmt.Sprintf("allow %s on the table %s, and kms:Decrypt on its key if it has one of its own", permission, s.table)
	case "ResourceNotFoundException":
		return replication.Local, fmt.Sprintf("there is no table %s in this account and region: deploy the stack, or check its name and the region", s.table)
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
		return replication.Transient, fmt.Sprintf("the table %s is throttled; it is tried again", s.table)
	case "TransactionConflictException", "TransactionCanceledException", "TransactionInProgressException":
		return replication.Transient, "others write the same records; it is tried again"
	case "ValidationException", "ItemCollectionSizeLimitExceededException", "IdempotentParameterMismatchException":
		return replication.Local, fmt.Sprintf("check that the table %s was made for this program: string keys %s and %s", s.table, keyPK, keySK)
	}
	switch {
	case errors.Is(err, errMoved):
		return replication.Transient, "others write the same records; it is tried again"
	case errors.Is(err, replication.ErrNotStaged), errors.Is(err, replication.ErrContentMismatch):
		return replication.Local, replication.HintOf(damaged(nil))
	}
	return awserr.Judge("table "+s.table, err)
}

// refused tells whether a condition was not met, and gives the item that was
// there if the answer has it.
func refused(err error) (old item, yes bool) {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed.Item, true
	}
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, r := range canceled.CancellationReasons {
			if r.Code != nil && *r.Code == "ConditionalCheckFailed" {
				return nil, true
			}
		}
	}
	return nil, false
}

// again tells whether the same request may succeed in a moment: another write of
// the same items was under way. The SDK doesn't retry these.
func again(err error) bool {
	switch awserr.Code(err) {
	case "TransactionConflictException", "TransactionInProgressException":
		return true
	}
	var canceled *types.TransactionCanceledException
	if _, no := refused(err); no || !errors.As(err, &canceled) {
		return false
	}
	for _, r := range canceled.CancellationReasons {
		if r.Code == nil {
			continue
		}
		switch *r.Code {
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			return true
		}
	}
	return false
}
