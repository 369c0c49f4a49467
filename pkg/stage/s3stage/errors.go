package s3stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// isMissing reports whether an error of S3 means that an object doesn't exist. One that
// a lifecycle rule has archived can't be read either.
func isMissing(err error) bool {
	switch awserr.Code(err) {
	case "NoSuchKey", "NotFound", "InvalidObjectState":
		return true
	}
	return false
}

// wrapError wraps an error of S3 with its class and a hint.
func (b bucket) wrapError(ctx context.Context, op string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case isMissing(err):
		return fmt.Errorf("%s in %s: %w", op, b.location(), replication.ErrNotStaged)
	}
	class, hint := b.classifyError(err)
	return &fault.Error{Op: op, Server: b.location(), Class: class, Hint: hint, Err: awserr.Concise(err)}
}

// classifyError returns the class of an error of AWS, and what to try.
func (b bucket) classifyError(err error) (fault.Class, string) {
	var call *smithy.OperationError
	errors.As(err, &call)
	switch awserr.Code(err) {
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden":
		return fault.Denied, fmt.Sprintf("allow %s, and the bucket's key if it isn't the default key", b.requiredPermission(call))
	case "NoSuchBucket":
		return fault.Local, fmt.Sprintf("there is no bucket %s: deploy the stack, or check its name", b.name)
	case "PermanentRedirect", "MovedPermanently", "IllegalLocationConstraintException":
		return fault.Local, fmt.Sprintf("the bucket %s is in another region", b.name)
	case "PreconditionFailed":
		return fault.Local, "something else is stored under this name: use a separate bucket for the stack"
	case "BadDigest", "XAmzContentChecksumMismatch": // it was right when it was sent
		return fault.Transient, "the transfer damaged it; it is tried again"
	}
	return awserr.Classify(b.location(), err)
}

// requiredPermission returns the permission that a call needs. Without s3:ListBucket,
// S3 denies access to objects that don't exist.
func (b bucket) requiredPermission(call *smithy.OperationError) string {
	objects := fmt.Sprintf("arn:aws:s3:::%s/%s*", b.name, b.prefix)
	switch {
	case call == nil:
		return "access to " + objects
	case call.Operation() == "GetObject":
		return fmt.Sprintf("s3:GetObject on %s and s3:ListBucket on arn:aws:s3:::%s", objects, b.name)
	}
	return fmt.Sprintf("s3:%s on %s", call.Operation(), objects)
}
