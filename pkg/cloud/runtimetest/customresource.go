package runtimetest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
)

// CustomResource sends the function what CloudFormation sends it about a custom
// resource, a Create, Update or Delete, and returns what it answered to that:
// SUCCESS or FAILED, and the reason. See "Custom resource reference" in
// CloudFormation's documentation.
func (f *Function) CustomResource(request, kind string, properties map[string]string) (status, reason string) {
	f.t.Helper()
	var answer struct{ Status, Reason string }
	heard := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err == nil {
			err = json.Unmarshal(body, &answer)
		}
		if err != nil {
			f.t.Errorf("answer to CloudFormation: %v", err)
		}
	}))
	result, err := f.Invoke(context.Background(), map[string]any{
		"RequestType": request, "ResponseURL": heard.URL, "StackId": "stack", "RequestId": newID(), "ResourceType": kind,
		"LogicalResourceId": "Resource", "PhysicalResourceId": "resource", "ResourceProperties": properties,
	})
	heard.Close()
	if err != nil || result.Error != nil {
		f.t.Fatalf("%s of %s: %v, %v", request, kind, err, result.Error)
	}
	return answer.Status, answer.Reason
}
