package awserr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/fault"
)

// apiError returns an error as the SDK does.
func apiError(service, operation, code, message string) error {
	return &smithy.OperationError{ServiceID: service, OperationName: operation, Err: &smithy.GenericAPIError{Code: code, Message: message}}
}

func TestWrapClassifiesErrorsOfAWS(t *testing.T) {
	stated := "User: arn:aws:sts::111122223333:assumed-role/m is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/r"
	for _, c := range []struct {
		name  string
		err   error
		class fault.Class
		hint  string
	}{
		{"a missing permission is that of the call", apiError("Scheduler", "UpdateSchedule", "AccessDeniedException", "no"), fault.Denied, "allow scheduler:UpdateSchedule on schedule group g"},
		{"a missing permission is the one that AWS states", apiError("Scheduler", "CreateSchedule", "AccessDeniedException", stated), fault.Denied, "allow iam:PassRole"},
		{"the permission for logs", apiError("CloudWatch Logs", "FilterLogEvents", "AccessDeniedException", ""), fault.Denied, "logs:FilterLogEvents"},
		{"the permission to invoke", apiError("Lambda", "Invoke", "AccessDeniedException", ""), fault.Denied, "lambda:InvokeFunction"},
		{"the permission to look for an object", apiError("S3", "HeadObject", "AccessDenied", ""), fault.Denied, "s3:GetObject"},
		{"the permission for a secret", apiError("Secrets Manager", "GetSecretValue", "AccessDeniedException", ""), fault.Denied, "secretsmanager:GetSecretValue"},
		{"wrong credentials", apiError("Scheduler", "GetSchedule", "UnrecognizedClientException", ""), fault.Denied, "credentials"},
		{"expired credentials", apiError("Scheduler", "GetSchedule", "ExpiredTokenException", ""), fault.Denied, "sign in again"},
		{"absent", apiError("Scheduler", "GetSchedule", "ResourceNotFoundException", ""), fault.Absent, "deploy the stack"},
		{"no such stack", apiError("CloudFormation", "DescribeStacks", "ValidationError", "Stack with id x does not exist"), fault.Absent, "deploy the stack"},
		{"invalid", apiError("CloudFormation", "DescribeStacks", "ValidationError", "1 validation error"), fault.Local, "check the value"},
		{"throttled", apiError("Scheduler", "GetSchedule", "ThrottlingException", ""), fault.Transient, "fewer requests"},
		{"an internal error", apiError("Scheduler", "GetSchedule", "InternalServerException", ""), fault.Transient, "try again"},
		{"a race", apiError("Scheduler", "UpdateSchedule", "ConflictException", ""), fault.Transient, "another operation"},
		{"full", apiError("Scheduler", "CreateSchedule", "ServiceQuotaExceededException", ""), fault.Local, "quota"},
		{"an internal error without a message", &smithy.OperationError{ServiceID: "Scheduler", Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: 503}}, Err: errors.New("no body")}}, fault.Transient, "try again"},
		{"an unknown code", apiError("Scheduler", "GetSchedule", "TeapotException", ""), fault.Transient, "try again"},
		{"no network", &smithy.OperationError{ServiceID: "Scheduler", Err: &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}}, fault.Unreachable, "network"},
		{"a proxy's page", &smithy.OperationError{ServiceID: "Scheduler", Err: &smithy.DeserializationError{Err: errors.New("invalid character '<'")}}, fault.Foreign, "endpoint"},
		{"an answer that breaks off", &smithy.OperationError{ServiceID: "DynamoDB", Err: &smithy.DeserializationError{Err: fmt.Errorf("decode: %w", io.ErrUnexpectedEOF)}}, fault.Unreachable, "network"},
		{"no credentials at all", &smithy.OperationError{ServiceID: "Scheduler", Err: errors.New("no EC2 IMDS role found")}, fault.Denied, "credentials"},
		{"an error of another kind", errors.New("odd"), fault.Transient, "try again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := awserr.Wrap(t.Context(), "read schedule s", "schedule group g", c.err)
			if got := fault.ClassOf(err); got != c.class {
				t.Errorf("class %s, want %s", got, c.class)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, c.hint) {
				t.Errorf("hint %q, want %q in it", hint, c.hint)
			}
			if !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), "read schedule s on schedule group g: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestWrapKeepsNilAndClassifiedErrors(t *testing.T) {
	if err := awserr.Wrap(t.Context(), "x", "y", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	known := fmt.Errorf("outer: %w", &fault.Error{Op: "inner", Class: fault.Foreign})
	if err := awserr.Wrap(t.Context(), "x", "y", known); err != known {
		t.Errorf("a known error became %v", err)
	}
}

func TestWrapReturnsTheErrorOfAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := awserr.Wrap(ctx, "read schedule s", "schedule group g", apiError("Scheduler", "GetSchedule", "ThrottlingException", ""))
	var classed *fault.Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &classed) {
		t.Errorf("error %v", err)
	}
}

// Request ids make every message different, and the operation names the call already.
func TestConciseRemovesTheCallAndRequestIDs(t *testing.T) {
	request := func(err error) error {
		return &smithy.OperationError{ServiceID: "Secrets Manager", OperationName: "GetSecretValue", Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Requestid": {"fe27-41"}}}}, Err: err}}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{request(&smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}), "read secret x: ThrottlingException: Rate exceeded"},
		{request(&smithy.GenericAPIError{Code: "AccessDenied", Message: "no (Service: S3, Request ID: FE27+/=, Host ID: ab12)"}), "read secret x: AccessDenied: no (Service: S3"},
		{&smithy.OperationError{ServiceID: "Secrets Manager", Err: &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}}}, "read secret x: dial tcp: connection refused"},
		{errors.New("odd"), "read secret x: odd"},
	} {
		var e *fault.Error
		err := awserr.Wrap(t.Context(), "read secret x", "secret x", c.err)
		if !errors.As(err, &e) || !errors.Is(err, c.err) {
			t.Fatalf("%v", err)
		}
		if e.Server = ""; e.Error() != c.want {
			t.Errorf("%q, want %q", e, c.want)
		}
	}
}
