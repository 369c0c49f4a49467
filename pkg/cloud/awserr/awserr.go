// Package awserr says in the project's words what an error of AWS means: what
// was tried on what, its class, and what to try, such as the permission that is
// missing.
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

// Explain gives an error of the AWS SDK its class and a hint. The operation is
// what was tried, such as "read schedule x"; the resource is what it was tried
// on, as a user knows it, such as "schedule group y". A nil error stays nil, an
// error that has a class already stays as it is, and once ctx has ended that is
// the error.
func Explain(ctx context.Context, operation, resource string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", operation, ctx.Err())
	}
	class, hint := Judge(resource, err)
	return &fault.Error{Op: operation, Server: resource, Class: class, Hint: hint, Err: Plain(err)}
}

// Plain shows an error of the AWS SDK in AWS's own words: without the name of the
// call, which the operation around it says already, and without the ids of requests,
// which make each message another one. Other errors stay as they are.
func Plain(err error) error {
	var api smithy.APIError
	var call *smithy.OperationError
	var shown plain
	if errors.As(err, &shown) || !errors.As(err, &api) && !errors.As(err, &call) {
		return err
	}
	return plain{err}
}

type plain struct{ err error }

func (p plain) Unwrap() error { return p.err }

func (p plain) Error() string {
	var api smithy.APIError
	if errors.As(p.err, &api) {
		text := strings.TrimSpace(requestID.ReplaceAllString(api.ErrorMessage(), ""))
		if text == "" {
			return api.ErrorCode()
		}
		return api.ErrorCode() + ": " + text
	}
	var op *net.OpError
	var send *smithyhttp.RequestSendError
	var answer *smithyhttp.ResponseError
	var call *smithy.OperationError
	switch {
	case errors.As(p.err, &op):
		return op.Error()
	case errors.As(p.err, &send):
		return send.Err.Error()
	case errors.As(p.err, &answer):
		return fmt.Sprintf("HTTP status %d: %v", answer.HTTPStatusCode(), answer.Err)
	case errors.As(p.err, &call):
		return call.Err.Error()
	}
	return p.err.Error()
}

// requestID are the ids that some services put into their texts.
var requestID = regexp.MustCompile(`(?i)[ ;,(]*\b(?:request ?id|host ?id)s?: ?[A-Za-z0-9+/=_-]+[;,)]*`)

// Code is the error code of AWS, such as ThrottlingException, or "".
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Missing tells whether AWS says that what was asked for isn't there.
func Missing(err error) bool {
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

// Throttled tells whether AWS asks for fewer requests.
func Throttled(err error) bool {
	switch Code(err) {
	case "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "ProvisionedThroughputExceededException", "SlowDown":
		return true
	}
	return false
}

// Busy tells whether AWS itself is in trouble, which passes.
func Busy(err error) bool {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() >= 500 {
		return true
	}
	switch Code(err) {
	case "InternalServerException", "InternalServerError", "InternalFailure", "InternalError", "InternalServiceError",
		"ServiceException", "ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException":
		return true
	}
	return false
}

// Judge says what an error of the AWS SDK means and what to try, for those who
// know better what some errors mean where they come from.
func Judge(resource string, err error) (fault.Class, string) {
	code := Code(err)
	switch {
	case Missing(err):
		return fault.Absent, "check the name, the account and the region, or deploy the stack"
	case Throttled(err):
		return fault.Transient, "AWS asks for fewer requests; try again in a minute"
	case Busy(err):
		return fault.Transient, "AWS is in trouble itself; try again in a minute"
	}
	switch code {
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError":
		return fault.Denied, fmt.Sprintf("allow %s on %s", permission(err), resource)
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidSignatureException", "SignatureDoesNotMatch",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature", "AuthFailure", "InvalidToken", "RequestTimeTooSkewed",
		"AuthorizationHeaderMalformed":
		return fault.Denied, "check the AWS credentials, the region, and the clock of this machine"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return fault.Denied, "the AWS credentials have expired: sign in again"
	case "ConflictException", "ResourceConflictException", "OperationAbortedException":
		return fault.Transient, "somebody else changes it at this moment; try again"
	case "ServiceQuotaExceededException", "LimitExceededException":
		return fault.Local, "ask AWS for a higher quota, or remove what isn't needed"
	case "ValidationException", "ValidationError", "InvalidParameterValueException", "InvalidParameterException", "InvalidRequestContentException":
		return fault.Local, "check the value that the message names"
	}
	return explainTransport(code, err)
}

// explainTransport explains errors that aren't an answer of AWS.
func explainTransport(code string, err error) (fault.Class, string) {
	var call *smithy.OperationError
	var network net.Error
	var send *smithyhttp.RequestSendError
	var garbled *smithy.DeserializationError
	switch {
	case errors.As(err, &send), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Unreachable, "check the network and the endpoint, and in a VPC its route or endpoint of the service"
	case errors.As(err, &garbled):
		return fault.Foreign, "check the endpoint: what answered isn't AWS"
	case code == "" && errors.As(err, &call): // the SDK itself: no credentials, no region
		return fault.Denied, "check the AWS credentials and the region"
	}
	return fault.Transient, "try again"
}

var stated = regexp.MustCompile(`not authorized to perform:? ?([a-z0-9-]+:[A-Za-z0-9]+)`)

// permission names the IAM action that is missing: the one that AWS states, which
// may be another than the one called, such as iam:PassRole, else that of the call.
func permission(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		if m := stated.FindStringSubmatch(api.ErrorMessage()); m != nil {
			return m[1]
		}
	}
	var call *smithy.OperationError
	if !errors.As(err, &call) {
		return "access"
	}
	return action(call.Service(), call.Operation())
}

// action is the IAM action of an operation. The SDK's names of services and
// operations are mostly those of IAM.
func action(service, operation string) string {
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
