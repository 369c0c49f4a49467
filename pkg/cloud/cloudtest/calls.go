package cloudtest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
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
	Resource string // a table, BUCKET/KEY, secret or function; "" where it has none
	// InTransaction says that it is part of a DynamoDB transaction, which costs twice.
	InTransaction bool
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
		return []Call{{Action: service + ":" + operation, Resource: in.SecretID + in.Name}}
	case strings.HasPrefix(path, "2015-03-31/functions/"):
		return []Call{{Action: "lambda:InvokeFunction", Resource: strings.Split(path, "/")[2]}}
	case r.Header.Get("Content-Type") == "application/x-www-form-urlencoded":
		return nil // of people, not of functions
	}
	return objectCalls(r, path, body)
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
			calls = append(calls, Call{"dynamodb:" + action, of.TableName, true})
		}
	}
	for table := range in.RequestItems {
		calls = append(calls, Call{Action: "dynamodb:" + operation, Resource: table})
	}
	if len(calls) == 0 {
		calls = []Call{{Action: "dynamodb:" + operation, Resource: in.TableName}}
	}
	return calls
}

// objectCalls names a request to S3. Deleting several objects needs the right for each
// of them, and another one for versions.
func objectCalls(r *http.Request, path string, body []byte) (calls []Call) {
	bucket, key, _ := strings.Cut(path, "/")
	query := r.URL.Query()
	switch {
	case query.Has("policy"):
		return []Call{{Action: "s3:PutBucketPolicy", Resource: path}}
	case query.Has("versions"):
		return []Call{{Action: "s3:ListBucketVersions", Resource: path}}
	case query.Has("delete"):
		var in struct {
			Object []struct {
				Key       string
				VersionID string `xml:"VersionId"`
			}
		}
		_ = xml.Unmarshal(body, &in) // what isn't XML names nothing
		for _, o := range in.Object {
			action := "s3:DeleteObject"
			if o.VersionID != "" {
				action += "Version"
			}
			calls = append(calls, Call{Action: action, Resource: bucket + "/" + o.Key})
		}
		return calls
	case key == "" && r.Method == http.MethodGet:
		return []Call{{Action: "s3:ListBucket", Resource: path}}
	case key == "":
		return []Call{{Action: "s3:CreateBucket", Resource: path}}
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		return []Call{{Action: "s3:PutObject", Resource: path}}
	case r.Method == http.MethodDelete:
		return []Call{{Action: "s3:DeleteObject", Resource: path}}
	}
	return []Call{{Action: "s3:GetObject", Resource: path}}
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
