package s3stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chefsync/pkg/replication"
)

// code is the error code of S3, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// missing tells whether S3 says that an object isn't there. One that a lifecycle
// rule has put into an archive can't be read either.
func missing(err error) bool {
	switch code(err) {
	case "NoSuchKey", "NotFound", "InvalidObjectState":
		return true
	}
	return false
}

// explain gives an error its class and a hint.
func (b bucket) explain(ctx context.Context, op string, err error) error {
	var known *replication.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case missing(err):
		return fmt.Errorf("%s in %s: %w", op, b.where(), replication.ErrNotStaged)
	}
	class, hint := b.judge(err)
	return &replication.Error{Op: op, Server: b.where(), Class: class, Hint: hint, Err: err}
}

// judge says what an error of AWS means and what to try.
func (b bucket) judge(err error) (replication.Class, string) {
	var call *smithy.OperationError
	errors.As(err, &call)
	switch code(err) {
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden":
		return replication.Denied, fmt.Sprintf("allow %s, and the bucket's key if it has one of its own", b.permission(call))
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed":
		return replication.Denied, "check the AWS credentials, the region, and the clock of this machine"
	case "ExpiredToken", "TokenRefreshRequired":
		return replication.Denied, "the AWS credentials have expired: sign in again"
	case "NoSuchBucket":
		return replication.Local, fmt.Sprintf("there is no bucket %s: deploy the stack, or check its name", b.name)
	case "PermanentRedirect", "MovedPermanently", "IllegalLocationConstraintException":
		return replication.Local, fmt.Sprintf("the bucket %s is in another region", b.name)
	case "PreconditionFailed":
		return replication.Local, "something else is stored under this name: give the stack a bucket of its own"
	case "BadDigest", "XAmzContentChecksumMismatch": // it was right when it was sent
		return replication.Transient, "the transfer damaged it; it is tried again"
	case "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "ConditionalRequestConflict":
		return replication.Transient, "S3 is busy; it is tried again"
	}
	var network net.Error
	var send *smithyhttp.RequestSendError
	switch {
	case errors.As(err, &send), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return replication.Unreachable, "check the network and the endpoint of S3, and in a VPC its route or gateway endpoint"
	case code(err) == "" && call != nil: // the SDK itself: no credentials, no region
		return replication.Denied, "check the AWS credentials and the region"
	}
	return replication.Transient, "it is tried again"
}

// permission names what a call needs. Without s3:ListBucket, S3 says "denied"
// for what isn't there.
func (b bucket) permission(call *smithy.OperationError) string {
	objects := fmt.Sprintf("arn:aws:s3:::%s/%s*", b.name, b.prefix)
	switch {
	case call == nil:
		return "access to " + objects
	case call.Operation() == "GetObject":
		return fmt.Sprintf("s3:GetObject on %s and s3:ListBucket on arn:aws:s3:::%s", objects, b.name)
	}
	return fmt.Sprintf("s3:%s on %s", call.Operation(), objects)
}
