package runtimetest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
)

// maxResponse is the size of a response to CloudFormation, in bytes, beyond which it takes the
// response for a failure with this reason.
const (
	maxResponse = 4096
	tooLong     = "Response object is too long."
)

// CustomResource sends the function an event of CloudFormation about a custom resource,
// a Create, Update or Delete, and returns the status that it responded with, SUCCESS or
// FAILED, and the reason. See "Custom resource reference" in CloudFormation's
// documentation.
func (f *Function) CustomResource(request, kind string, properties map[string]string) (status, reason string) {
	f.t.Helper()
	var response struct{ Status, Reason string }
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err == nil {
			err = json.Unmarshal(body, &response)
		}
		if len(body) > maxResponse {
			response.Status, response.Reason = "FAILED", tooLong
		}
		if err != nil {
			f.t.Errorf("response to CloudFormation: %v", err)
		}
	}))
	result, err := f.Invoke(context.Background(), map[string]any{
		"RequestType": request, "ResponseURL": receiver.URL, "StackId": "stack", "RequestId": newID(), "ResourceType": kind,
		"LogicalResourceId": "Resource", "PhysicalResourceId": "resource", "ResourceProperties": properties,
	})
	receiver.Close()
	if err != nil || result.Error != nil {
		f.t.Fatalf("%s of %s: %v, %v", request, kind, err, result.Error)
	}
	return response.Status, response.Reason
}
