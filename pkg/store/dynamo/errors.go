package dynamo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/fault"
)

// explainError adds a class and a hint to an error that has none.
func (t *Table) explainError(ctx context.Context, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	class, hint := t.classifyError(err)
	return &fault.Error{Server: "table " + t.name, Class: class, Hint: hint, Err: awserr.Concise(err)}
}

// classifyError returns the class of an error of AWS, and what to try.
func (t *Table) classifyError(err error) (fault.Class, string) {
	var call *smithy.OperationError
	permission := "dynamodb"
	if errors.As(err, &call) {
		permission += ":" + call.Operation()
	}
	switch awserr.Code(err) {
	case "AccessDeniedException", "AccessDenied", "NotAuthorized", "KMSAccessDeniedException":
		return fault.Denied, fmt.Sprintf("allow %s on the table %s, and kms:Decrypt on its key if it isn't the default key", permission, t.name)
	case "ResourceNotFoundException":
		return fault.Local, fmt.Sprintf("there is no table %s in this account and region: "+
			"deploy the stack, or check its name and the region", t.name)
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
		return fault.Transient, fmt.Sprintf("the table %s is throttled; it is tried again", t.name)
	case "TransactionConflictException", "TransactionCanceledException", "TransactionInProgressException":
		return fault.Transient, "others write the same records; it is tried again"
	case "ValidationException", "ItemCollectionSizeLimitExceededException", "IdempotentParameterMismatchException":
		return fault.Local, fmt.Sprintf("check that the table %s was made for this program: string keys %s and %s", t.name,
			attrPartition, attrSort)
	}
	return awserr.Classify("table "+t.name, err)
}
