// Package cloudtest is a fake of the parts of AWS that a stack needs, in this process and
// at one address: DynamoDB by minidyn, S3 by gofakes3, and small fakes of
// CloudFormation, CloudWatch Logs, EventBridge, Lambda, Secrets Manager, SQS and STS. It checks no
// signatures.
package cloudtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"chefsync/pkg/cloud/dynamotest"
)

// Server is the fake. It is safe for concurrent use.
type Server struct {
	URL string
	CallLog

	http       *httptest.Server
	dynamo     http.Handler
	s3         http.Handler
	mu         sync.Mutex
	refused    map[string]string // code by operation
	stacks     map[string]map[string]string
	secrets    map[string]string
	logs       map[string][]logEvent
	functions  map[string]Function
	events     []Event
	queueDepth int // of the queue
	reserved   int // executions for each function
}

// Function handles invocations. Its error is that of the function.
type Function func(payload []byte) (any, error)

// Start starts a server. Close it.
func Start() *Server {
	s := &Server{
		dynamo: dynamotest.Handler(), s3: gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server(),
		refused: map[string]string{}, stacks: map[string]map[string]string{}, secrets: map[string]string{}, logs: map[string][]logEvent{},
		functions: map[string]Function{},
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Close stops the server.
func (s *Server) Close() { s.http.Close() }

// Refuse makes an operation, such as DescribeStacks, fail with an error code; "" ends
// that.
func (s *Server) Refuse(operation, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[operation] = code
}

// AddStack adds a stack with outputs.
func (s *Server) AddStack(name string, outputs map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stacks[name] = outputs
}

// SetSecret sets a secret.
func (s *Server) SetSecret(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[name] = value
}

// Secret returns a secret, or "".
func (s *Server) Secret(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[name]
}

// SetQueueDepth sets the number of messages in the queue.
func (s *Server) SetQueueDepth(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queueDepth = n
}

// SetReserved sets the concurrency that is reserved for each function.
func (s *Server) SetReserved(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved = n
}

func (s *Server) reservedConcurrency() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserved == 0 {
		return struct{}{}
	}
	return map[string]int{"ReservedConcurrentExecutions": s.reserved}
}

// AddFunction adds a function.
func (s *Server) AddFunction(name string, f Function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions[name] = f
}

// awsError is an error response of AWS.
type awsError struct {
	status        int
	code, message string
}

func (f awsError) Error() string { return f.code + ": " + f.message }

func notFoundError(what string) error {
	return awsError{400, "ResourceNotFoundException", what + " does not exist"}
}

// ServeHTTP dispatches requests to the services by their headers and paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.recordCalls(r) != nil {
		return // the client has disconnected
	}
	service, operation, isTarget := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	form := r.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
	var response any
	var err error
	switch {
	case isTarget && strings.HasPrefix(service, "DynamoDB") && !isMissingInMinidyn(operation):
		if code := s.refusalCode(operation); code != "" {
			writeError(w, awsError{400, code, "refused"})
			return
		}
		s.dynamo.ServeHTTP(w, r)
		return
	case isTarget:
		body, _ := io.ReadAll(r.Body)
		response, err = s.handleTarget(operation, body)
	case form:
		s.serveQuery(w, r)
		return
	case strings.HasPrefix(r.URL.Path, "/2019-09-30/functions/"):
		if err = s.refusalError("GetFunctionConcurrency"); err == nil {
			response = s.reservedConcurrency()
		}
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/"):
		s.serveLambda(w, r)
		return
	default:
		if code := s.refusalCode(r.Method + " " + r.URL.Path); code != "" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused</Message></Error>", code)
			return
		}
		if r.URL.Query().Has("policy") { // gofakes3 would take it for an object
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.s3.ServeHTTP(w, r)
		return
	}
	if err != nil {
		writeError(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(response) // the client may have disconnected
}

// isMissingInMinidyn reports whether minidyn lacks an operation of DynamoDB.
func isMissingInMinidyn(operation string) bool {
	return operation == "DescribeContinuousBackups" || operation == "DescribeTimeToLive"
}

func writeError(w http.ResponseWriter, err error) {
	f, ok := err.(awsError)
	if !ok {
		f = awsError{500, "InternalServerError", err.Error()}
	}
	w.Header().Set("X-Amzn-Errortype", f.code)
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": f.code, "message": f.message})
}

// refusalError returns the error that an operation was told to fail with, or nil.
func (s *Server) refusalError(operation string) error {
	if code := s.refusalCode(operation); code != "" {
		return awsError{403, code, "refused"}
	}
	return nil
}

func (s *Server) refusalCode(operation string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[operation]
}

// handleTarget handles the services with the JSON protocol.
func (s *Server) handleTarget(operation string, body []byte) (any, error) {
	if err := s.refusalError(operation); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch operation {
	case "CreateLogStream", "CreateLogGroup":
		return struct{}{}, nil
	case "PutLogEvents":
		return s.putLogEvents(body)
	case "FilterLogEvents":
		return s.filterLogEvents(body)
	case "PutEvents":
		return s.putEvents(body)
	case "GetSecretValue", "CreateSecret", "PutSecretValue":
		return s.handleSecret(operation, body)
	case "GetQueueAttributes":
		return map[string]any{"Attributes": map[string]string{"ApproximateNumberOfMessages": fmt.Sprint(s.queueDepth)}}, nil
	case "PurgeQueue":
		s.queueDepth = 0
		return struct{}{}, nil
	case "DescribeContinuousBackups":
		return map[string]any{"ContinuousBackupsDescription": map[string]any{"ContinuousBackupsStatus": "ENABLED",
			"PointInTimeRecoveryDescription": map[string]string{"PointInTimeRecoveryStatus": "ENABLED"}}}, nil
	case "DescribeTimeToLive":
		return map[string]any{"TimeToLiveDescription": map[string]string{"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}}, nil
	}
	return nil, awsError{400, "UnknownOperationException", operation}
}

func (s *Server) handleSecret(operation string, body []byte) (any, error) {
	var in struct {
		Name         string
		SecretID     string `json:"SecretId"`
		SecretString string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	value, exists := s.secrets[in.SecretID]
	switch {
	case operation == "CreateSecret":
		if _, exists := s.secrets[in.Name]; exists {
			return nil, awsError{400, "ResourceExistsException", "it exists"}
		}
		s.secrets[in.Name] = in.SecretString
	case !exists:
		return nil, notFoundError("the secret")
	case operation == "PutSecretValue":
		s.secrets[in.SecretID] = in.SecretString
	case value == "":
		return nil, notFoundError("a value of the secret")
	}
	return map[string]string{"Name": in.SecretID, "SecretString": value}, nil
}

// serveQuery serves CloudFormation and STS.
func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	if err := s.refusalError(action); err != nil {
		writeQueryError(w, err.(awsError))
		return
	}
	switch action {
	case "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/me</Arn><UserId>AIDA</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	case "DescribeStacks":
		s.mu.Lock()
		outputs, exists := s.stacks[form.Get("StackName")]
		s.mu.Unlock()
		if !exists {
			writeQueryError(w, awsError{400, "ValidationError", "Stack with id " + form.Get("StackName") + " does not exist"})
			return
		}
		fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>%s</StackName><CreationTime>2026-11-25T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>`, form.Get("StackName"))
		for name, value := range outputs {
			fmt.Fprintf(w, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", name, value)
		}
		fmt.Fprint(w, `</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
	default:
		writeQueryError(w, awsError{400, "InvalidAction", action})
	}
}

func writeQueryError(w http.ResponseWriter, f awsError) {
	w.WriteHeader(f.status)
	fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, f.code, f.message)
}
