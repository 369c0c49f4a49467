package cloudtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Call is a request in the words of a policy.
type Call struct {
	Action   string // such as dynamodb:GetItem
	Resource string // a table, BUCKET/KEY, secret, GROUP/SCHEDULE or function; "" where it has none
}

// Seen are all calls since the last Forget, in order.
func (s *Server) Seen() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Forget forgets the calls that were seen.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

// see notes a request, and leaves its body to be read.
func (s *Server) see(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	calls := callsOf(r, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, calls...)
}

// callsOf names a request as policies do. A transaction has no action of its own:
// each of its parts needs one.
func callsOf(r *http.Request, body []byte) []Call {
	service, operation, isTarget := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	path := strings.Trim(r.URL.Path, "/")
	switch {
	case isTarget && strings.HasPrefix(service, "DynamoDB"):
		return tableCalls(operation, body)
	case isTarget:
		var in struct {
			SecretID string `json:"SecretId"`
			Name     string
		}
		_ = json.Unmarshal(body, &in) // what isn't JSON names nothing
		if service == "AmazonSSM" {
			service = "ssm"
		}
		return []Call{{service + ":" + operation, in.SecretID + in.Name}}
	case strings.HasPrefix(path, "2015-03-31/functions/"):
		return []Call{{"lambda:InvokeFunction", strings.Split(path, "/")[2]}}
	case path == "schedules":
		return []Call{{"scheduler:ListSchedules", r.URL.Query().Get("ScheduleGroup")}}
	case strings.HasPrefix(path, "schedules/"):
		verb := map[string]string{http.MethodPost: "Create", http.MethodPut: "Update", http.MethodDelete: "Delete"}[r.Method]
		if verb == "" {
			verb = "Get"
		}
		return []Call{{"scheduler:" + verb + "Schedule", strings.TrimPrefix(path, "schedules/")}}
	case r.Header.Get("Content-Type") == "application/x-www-form-urlencoded":
		return nil // of people, not of functions
	}
	return []Call{{objectAction(r.Method, path), path}}
}

func tableCalls(operation string, body []byte) (calls []Call) {
	var in struct {
		TableName     string
		TransactItems []map[string]struct{ TableName string }
		RequestItems  map[string]json.RawMessage
	}
	_ = json.Unmarshal(body, &in) // what isn't JSON names nothing
	for _, item := range in.TransactItems {
		for part, of := range item {
			action := map[string]string{"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}[part]
			calls = append(calls, Call{"dynamodb:" + action, of.TableName})
		}
	}
	for table := range in.RequestItems {
		calls = append(calls, Call{"dynamodb:" + operation, table})
	}
	if len(calls) == 0 {
		calls = []Call{{"dynamodb:" + operation, in.TableName}}
	}
	return calls
}

func objectAction(method, path string) string {
	_, key, _ := strings.Cut(path, "/")
	switch {
	case key == "" && method == http.MethodGet:
		return "s3:ListBucket"
	case key == "":
		return "s3:CreateBucket"
	case method == http.MethodPut || method == http.MethodPost:
		return "s3:PutObject"
	case method == http.MethodDelete:
		return "s3:DeleteObject"
	}
	return "s3:GetObject"
}

// Front is an address of its own for one client, so that its calls can be told
// from those of others.
type Front struct {
	URL string

	mu   sync.Mutex
	seen []Call
}

// NewFront opens an address for what is behind it, such as a Server, until the
// test ends.
func NewFront(t testing.TB, behind http.Handler) *Front {
	t.Helper()
	f := &Front{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f.mu.Lock()
		f.seen = append(f.seen, callsOf(r, body)...)
		f.mu.Unlock()
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	return f
}

// Seen are all calls that came this way, in order.
func (f *Front) Seen() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}
