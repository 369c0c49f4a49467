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

// Call is a request as IAM policies name it.
type Call struct {
	Action   string // such as dynamodb:GetItem
	Resource string // a table, BUCKET/KEY, secret or function; "" for none
	// InTransaction is set for parts of a DynamoDB transaction, which cost twice.
	InTransaction bool
}

// CallLog records calls. It is safe for concurrent use.
type CallLog struct {
	callsMu sync.Mutex
	calls   []Call
}

// Calls returns the calls since the last ResetCalls, in order.
func (l *CallLog) Calls() []Call {
	l.callsMu.Lock()
	defer l.callsMu.Unlock()
	return slices.Clone(l.calls)
}

// ResetCalls removes the recorded calls.
func (l *CallLog) ResetCalls() {
	l.callsMu.Lock()
	defer l.callsMu.Unlock()
	l.calls = nil
}

// recordCalls records a request, whose body it reads and replaces.
func (l *CallLog) recordCalls(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	calls := callsOf(r, body)
	l.callsMu.Lock()
	defer l.callsMu.Unlock()
	l.calls = append(l.calls, calls...)
	return nil
}

// callsOf returns the calls of a request. A transaction has no action, but each of its
// parts has one.
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
		_ = json.Unmarshal(body, &in) // other bodies have no names
		switch service {
		case "AmazonSSM":
			service = "ssm"
		case "AWSEvents":
			return []Call{{Action: "events:" + operation, Resource: eventBusOf(body)}}
		}
		return []Call{{Action: service + ":" + operation, Resource: in.SecretID + in.Name}}
	case strings.HasPrefix(path, "2015-03-31/functions/"):
		return []Call{{Action: "lambda:InvokeFunction", Resource: strings.Split(path, "/")[2]}}
	case r.Header.Get("Content-Type") == "application/x-www-form-urlencoded":
		return nil // of the command line, not of functions
	}
	return objectCalls(r, path, body)
}

func tableCalls(operation string, body []byte) (calls []Call) {
	var in struct {
		TableName     string
		TransactItems []map[string]struct{ TableName string }
		RequestItems  map[string]json.RawMessage
	}
	_ = json.Unmarshal(body, &in) // other bodies have no names
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

// objectCalls returns the calls of a request to S3. Deleting several objects needs a
// permission for each of them, and another one for versions.
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
		_ = xml.Unmarshal(body, &in) // other bodies have no names
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

// Proxy is a separate address of an AWS for one client, which records its calls.
type Proxy struct {
	URL string
	CallLog
}

// NewProxy starts a proxy of a handler such as a Server, until the test ends.
func NewProxy(t testing.TB, handler http.Handler) *Proxy {
	t.Helper()
	p := &Proxy{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.recordCalls(r) == nil { // else the client has disconnected
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	p.URL = srv.URL
	return p
}
