// Package cloudtest is as much of AWS as a stack needs, on one address of this
// process, for tests: DynamoDB by minidyn, S3 by gofakes3,
// and small fakes of CloudFormation, CloudWatch Logs,
// Lambda, Secrets Manager, SQS and STS. It checks no signature.
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

// Server is the fake. It may be used concurrently.
type Server struct {
	URL string

	http      *httptest.Server
	dynamo    http.Handler
	s3        http.Handler
	mu        sync.Mutex
	refused   map[string]string // code by operation
	stacks    map[string]map[string]string
	secrets   map[string]string
	logs      map[string][]event
	functions map[string]Function
	depth     int // of the queue
	reserved  int // executions for each function
	calls     []string
	seen      []Call
}

// Function answers invocations. An error is an error of the function.
type Function func(payload []byte) (any, error)

// Start starts a server. Close it.
func Start() *Server {
	s := &Server{
		dynamo: dynamotest.Handler(), s3: gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server(),
		refused: map[string]string{}, stacks: map[string]map[string]string{}, secrets: map[string]string{}, logs: map[string][]event{},
		functions: map[string]Function{},
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Close ends the server.
func (s *Server) Close() { s.http.Close() }

// Refuse answers an operation, such as DescribeStacks, with an error code from now
// on; with "" no longer.
func (s *Server) Refuse(operation, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[operation] = code
}

// Calls are the operations that were called, but those of DynamoDB and S3.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.calls...)
}

// AddStack deploys a stack of some outputs.
func (s *Server) AddStack(name string, outputs map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stacks[name] = outputs
}

// SetSecret keeps a secret.
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

// SetDepth says how many messages the queue has.
func (s *Server) SetDepth(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.depth = n
}

// SetReserved says how many executions are reserved for each function.
func (s *Server) SetReserved(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved = n
}

func (s *Server) concurrency() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserved == 0 {
		return struct{}{}
	}
	return map[string]int{"ReservedConcurrentExecutions": s.reserved}
}

// AddFunction makes a function.
func (s *Server) AddFunction(name string, f Function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions[name] = f
}

// fault is an error as AWS answers it.
type fault struct {
	status        int
	code, message string
}

func (f fault) Error() string { return f.code + ": " + f.message }

func missing(what string) error {
	return fault{400, "ResourceNotFoundException", what + " is not there"}
}

// ServeHTTP tells the services apart by what their clients send.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.see(r)
	service, operation, isTarget := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	form := r.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
	var answer any
	var err error
	switch {
	case isTarget && strings.HasPrefix(service, "DynamoDB") && !described(operation):
		if code := s.refusal(operation); code != "" {
			writeFault(w, fault{400, code, "refused"})
			return
		}
		s.dynamo.ServeHTTP(w, r)
		return
	case isTarget:
		body, _ := io.ReadAll(r.Body)
		answer, err = s.target(operation, body)
	case form:
		s.query(w, r)
		return
	case strings.HasPrefix(r.URL.Path, "/2019-09-30/functions/"):
		if err = s.begin("GetFunctionConcurrency"); err == nil {
			answer = s.concurrency()
		}
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/"):
		s.lambda(w, r)
		return
	default:
		if code := s.refusal(r.Method + " " + r.URL.Path); code != "" {
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
		writeFault(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone needs no answer
}

func described(operation string) bool {
	return operation == "DescribeContinuousBackups" || operation == "DescribeTimeToLive"
}

func writeFault(w http.ResponseWriter, err error) {
	f, ok := err.(fault)
	if !ok {
		f = fault{500, "InternalServerError", err.Error()}
	}
	w.Header().Set("X-Amzn-Errortype", f.code)
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": f.code, "message": f.message})
}

// begin records a call and returns the error that it shall get.
func (s *Server) begin(operation string) error {
	s.mu.Lock()
	s.calls = append(s.calls, operation)
	s.mu.Unlock()
	if code := s.refusal(operation); code != "" {
		return fault{403, code, "refused"}
	}
	return nil
}

func (s *Server) refusal(operation string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[operation]
}

// target answers the services of the JSON protocol.
func (s *Server) target(operation string, body []byte) (any, error) {
	if err := s.begin(operation); err != nil {
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
	case "GetSecretValue", "CreateSecret", "PutSecretValue":
		return s.secret(operation, body)
	case "GetQueueAttributes":
		return map[string]any{"Attributes": map[string]string{"ApproximateNumberOfMessages": fmt.Sprint(s.depth)}}, nil
	case "PurgeQueue":
		s.depth = 0
		return struct{}{}, nil
	case "DescribeContinuousBackups":
		return map[string]any{"ContinuousBackupsDescription": map[string]any{"ContinuousBackupsStatus": "ENABLED",
			"PointInTimeRecoveryDescription": map[string]string{"PointInTimeRecoveryStatus": "ENABLED"}}}, nil
	case "DescribeTimeToLive":
		return map[string]any{"TimeToLiveDescription": map[string]string{"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}}, nil
	}
	return nil, fault{400, "UnknownOperationException", operation}
}

func (s *Server) secret(operation string, body []byte) (any, error) {
	var in struct {
		Name         string
		SecretID     string `json:"SecretId"`
		SecretString string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	value, there := s.secrets[in.SecretID]
	switch {
	case operation == "CreateSecret":
		if _, there := s.secrets[in.Name]; there {
			return nil, fault{400, "ResourceExistsException", "it is there"}
		}
		s.secrets[in.Name] = in.SecretString
	case !there:
		return nil, missing("the secret")
	case operation == "PutSecretValue":
		s.secrets[in.SecretID] = in.SecretString
	case value == "":
		return nil, missing("a value of the secret")
	}
	return map[string]string{"Name": in.SecretID, "SecretString": value}, nil
}

// query answers CloudFormation and STS.
func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	if err := s.begin(action); err != nil {
		queryFault(w, err.(fault))
		return
	}
	switch action {
	case "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/me</Arn><UserId>AIDA</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	case "DescribeStacks":
		s.mu.Lock()
		outputs, there := s.stacks[form.Get("StackName")]
		s.mu.Unlock()
		if !there {
			queryFault(w, fault{400, "ValidationError", "Stack with id " + form.Get("StackName") + " does not exist"})
			return
		}
		fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>%s</StackName><CreationTime>2026-11-25T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>`, form.Get("StackName"))
		for name, value := range outputs {
			fmt.Fprintf(w, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", name, value)
		}
		fmt.Fprint(w, `</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
	default:
		queryFault(w, fault{400, "InvalidAction", action})
	}
}

func queryFault(w http.ResponseWriter, f fault) {
	w.WriteHeader(f.status)
	fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, f.code, f.message)
}
