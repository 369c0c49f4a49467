// Package awserr classifies errors of the AWS SDK as errors of pkg/fault, with a
// hint such as the permission that is missing.
package awserr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chefsync/pkg/fault"
)

// Wrap returns an error of the AWS SDK as a *fault.Error with a class and a hint.
// The operation is what failed, such as "read schedule x"; the resource is what it
// was called on, such as "schedule group y". A nil error and one that is a
// *fault.Error already are returned as they are. Once ctx has ended, its error is
// returned instead.
func Wrap(ctx context.Context, operation, resource string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", operation, ctx.Err())
	}
	class, hint := Classify(resource, err)
	return &fault.Error{Op: operation, Server: resource, Class: class, Hint: hint, Err: Concise(err)}
}

// Concise returns an error of the AWS SDK whose message is that of AWS, without the
// name of the call, which the operation around it repeats, and without request ids,
// which make every message different. Other errors are returned as they are.
func Concise(err error) error {
	var api smithy.APIError
	var call *smithy.OperationError
	var concise conciseError
	if errors.As(err, &concise) || !errors.As(err, &api) && !errors.As(err, &call) {
		return err
	}
	return conciseError{err}
}

type conciseError struct{ err error }

func (e conciseError) Unwrap() error { return e.err }

func (e conciseError) Error() string {
	var api smithy.APIError
	if errors.As(e.err, &api) {
		text := strings.TrimSpace(requestIDPattern.ReplaceAllString(api.ErrorMessage(), ""))
		if text == "" {
			return api.ErrorCode()
		}
		return api.ErrorCode() + ": " + text
	}
	var op *net.OpError
	var send *smithyhttp.RequestSendError
	var response *smithyhttp.ResponseError
	var call *smithy.OperationError
	switch {
	case errors.As(e.err, &op):
		return op.Error()
	case errors.As(e.err, &send):
		return send.Err.Error()
	case errors.As(e.err, &response):
		return fmt.Sprintf("HTTP status %d: %v", response.HTTPStatusCode(), response.Err)
	case errors.As(e.err, &call):
		return call.Err.Error()
	}
	return e.err.Error()
}

// requestIDPattern matches the ids that some services put into their messages.
var requestIDPattern = regexp.MustCompile(`(?i)[ ;,(]*\b(?:request ?id|host ?id)s?: ?[A-Za-z0-9+/=_-]+[;,)]*`)

// Code returns the error code of AWS, such as ThrottlingException, or "".
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// IsNotFound reports whether the resource does not exist.
func IsNotFound(err error) bool {
	switch Code(err) {
	case "ResourceNotFoundException", "ResourceNotFound", "NotFoundException", "NotFound", "NoSuchEntity",
		"NoSuchBucket", "NoSuchKey", "ParameterNotFound", "ParameterVersionNotFound",
		"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "StackNotFoundException":
		return true
	case "ValidationError": // CloudFormation, of a stack
		var api smithy.APIError
		return errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "does not exist")
	}
	return false
}

// isThrottled reports whether AWS throttled the request.
func isThrottled(err error) bool {
	switch Code(err) {
	case "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "ProvisionedThroughputExceededException", "SlowDown":
		return true
	}
	return false
}

// isUnavailable reports whether the service has a temporary internal error.
func isUnavailable(err error) bool {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= 500 {
		return true
	}
	switch Code(err) {
	case "InternalServerException", "InternalServerError", "InternalFailure", "InternalError", "InternalServiceError",
		"ServiceException", "ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException":
		return true
	}
	return false
}

// Classify returns the class of an error of the AWS SDK and a hint, for callers that
// treat some errors in their own way.
func Classify(resource string, err error) (fault.Class, string) {
	code := Code(err)
	switch {
	case IsNotFound(err):
		return fault.Absent, "check the name, the account and the region, or deploy the stack"
	case isThrottled(err):
		return fault.Transient, "AWS asks for fewer requests; try again in a minute"
	case isUnavailable(err):
		return fault.Transient, "AWS reports an internal error; try again in a minute"
	}
	switch code {
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError":
		return fault.Denied, fmt.Sprintf("allow %s on %s", missingPermission(err), resource)
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidSignatureException", "SignatureDoesNotMatch",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature", "AuthFailure", "InvalidToken", "RequestTimeTooSkewed",
		"AuthorizationHeaderMalformed":
		return fault.Denied, "check the AWS credentials, the region, and the clock of this machine"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return fault.Denied, "the AWS credentials have expired: sign in again"
	case "ConflictException", "ResourceConflictException", "OperationAbortedException":
		return fault.Transient, "another operation is changing it; try again"
	case "ServiceQuotaExceededException", "LimitExceededException":
		return fault.Local, "ask AWS for a higher quota, or remove what isn't needed"
	case "ValidationException", "ValidationError", "InvalidParameterValueException", "InvalidParameterException", "InvalidRequestContentException":
		return fault.Local, "check the value that the message names"
	}
	return classifyTransport(code, err)
}

// classifyTransport classifies errors that aren't a response of AWS.
func classifyTransport(code string, err error) (fault.Class, string) {
	var call *smithy.OperationError
	var network net.Error
	var send *smithyhttp.RequestSendError
	var malformed *smithy.DeserializationError
	switch {
	case errors.As(err, &send), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Unreachable, "check the network and the endpoint, and in a VPC its route or endpoint of the service"
	case errors.As(err, &malformed):
		return fault.Foreign, "check the endpoint: what answered isn't AWS"
	case code == "" && errors.As(err, &call): // the SDK itself: no credentials, no region
		return fault.Denied, "check the AWS credentials and the region"
	}
	return fault.Transient, "try again"
}

var deniedActionPattern = regexp.MustCompile(`not authorized to perform:? ?([a-z0-9-]+:[A-Za-z0-9]+)`)

// missingPermission returns the IAM action that is missing: the one in the message of
// AWS, which may differ from the operation, such as iam:PassRole, else that of the call.
func missingPermission(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		if m := deniedActionPattern.FindStringSubmatch(api.ErrorMessage()); m != nil {
			return m[1]
		}
	}
	var call *smithy.OperationError
	if !errors.As(err, &call) {
		return "access"
	}
	return iamAction(call.Service(), call.Operation())
}

// iamAction returns the IAM action of an operation. The SDK's names of services and
// operations are mostly those of IAM.
func iamAction(service, operation string) string {
	prefix := strings.ToLower(strings.ReplaceAll(service, " ", ""))
	switch prefix + ":" + operation {
	case "lambda:Invoke":
		operation = "InvokeFunction"
	case "s3:HeadObject":
		operation = "GetObject"
	case "s3:ListObjectsV2", "s3:ListObjects", "s3:HeadBucket":
		operation = "ListBucket"
	}
	if prefix == "cloudwatchlogs" {
		prefix = "logs"
	}
	return prefix + ":" + operation
}
