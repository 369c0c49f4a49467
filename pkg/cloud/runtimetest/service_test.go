package runtimetest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"chefsync/pkg/cloud/awsclient"
	"chefsync/pkg/cloud/runtimetest"
)

// newClient returns a client of the SDK for a service, and its function.
func newClient(t *testing.T) (*lambda.Client, *runtimetest.Service, *runtimetest.Function) {
	t.Helper()
	service := runtimetest.NewService(t)
	cfg, err := awsclient.LoadConfig(t.Context(), config.WithRegion("us-east-1"), config.WithBaseEndpoint(service.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	f := service.Add(runtimetest.Config{Name: "stack-program", Program: programs.Build(t, "./testdata/program")})
	return lambda.NewFromConfig(cfg), service, f
}

func TestAClientInvokesAFunction(t *testing.T) {
	client, _, f := newClient(t)
	invoke := func(name, event string, kind types.InvocationType) (*lambda.InvokeOutput, error) {
		return client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: []byte(event), InvocationType: kind})
	}
	out, err := invoke("stack-program", `{"do":"echo","text":"hello"}`, "")
	if err != nil || string(out.Payload) != `"hello"` || out.StatusCode != http.StatusOK || out.FunctionError != nil {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = invoke("stack-program", `{"do":"error"}`, "")
	if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || !strings.Contains(string(out.Payload), "not today") {
		t.Errorf("an error of the function: %+v, %v", out, err)
	}
	out, err = invoke("stack-program", `{"do":"echo"}`, types.InvocationTypeEvent)
	if err != nil || out.StatusCode != http.StatusAccepted || len(out.Payload) != 0 {
		t.Errorf("an event: %+v, %v", out, err)
	}
	f.Wait()
	if n := strings.Count(f.Log().String(), "without a newline"); n != 2 {
		t.Errorf("%d invocations, want the event's too", n)
	}
	var notFound *types.ResourceNotFoundException
	if _, err := invoke("other", "{}", ""); !errors.As(err, &notFound) {
		t.Errorf("another function: %v", err)
	}
}

func TestConcurrencyIsReserved(t *testing.T) {
	client, service, f := newClient(t)
	reserve := func(n int32) error {
		_, err := client.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: &f.Name, ReservedConcurrentExecutions: &n})
		return err
	}
	if err := reserve(7); err != nil || service.Reserved(f.Name) != 7 {
		t.Errorf("%d reserved, %v", service.Reserved(f.Name), err)
	}
	if _, err := client.DeleteFunctionConcurrency(t.Context(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: &f.Name}); err != nil || service.Reserved(f.Name) != 0 {
		t.Errorf("%d reserved, %v", service.Reserved(f.Name), err)
	}
	service.SetUnreserved(0)
	var invalid *types.InvalidParameterValueException
	if err := reserve(1); !errors.As(err, &invalid) {
		t.Errorf("an account without concurrency to reserve: %v", err)
	}
}

// send sends a request to the function's URL.
func send(t *testing.T, method, url string, header http.Header, body []byte) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, got
}

func TestARequestToTheURLIsAnEvent(t *testing.T) {
	url := newFunction(t, runtimetest.Config{}).URL()
	resp, body := send(t, "PUT", url+"/organizations/a%2Fb/x?seq=5&kind=a&kind=b%20c",
		http.Header{"X-Ops-Sign": {"version=1.3", "more"}, "Content-Type": {"application/json"}}, []byte(`{"ä":1}`))
	var e events.LambdaFunctionURLRequest
	if err := json.Unmarshal(body, &e); err != nil || resp.StatusCode != 201 || resp.Header.Get("X-Seen") != "yes" {
		t.Fatalf("%d %v %s: %v", resp.StatusCode, resp.Header, body, err)
	}
	if e.RawPath != "/organizations/a%2Fb/x" || e.RawQueryString != "seq=5&kind=a&kind=b%20c" || e.RequestContext.HTTP.Method != "PUT" ||
		e.RequestContext.HTTP.SourceIP != "127.0.0.1" || e.Headers["x-ops-sign"] != "version=1.3,more" || "http://"+e.Headers["host"] != url ||
		e.Body != `{"ä":1}` || e.IsBase64Encoded {
		t.Errorf("event %+v", e)
	}
}

func TestBinaryBodiesAreEncoded(t *testing.T) {
	url := newFunction(t, runtimetest.Config{}).URL()
	for name, c := range map[string]struct {
		header  http.Header
		body    string
		encoded bool
	}{
		"none":       {nil, "", false},
		"text":       {http.Header{"Content-Type": {"text/csv; charset=utf-8"}}, "a,b", false},
		"bytes":      {http.Header{"Content-Type": {"application/octet-stream"}}, "\x00\xff", true},
		"not UTF-8":  {http.Header{"Content-Type": {"application/json"}}, "\xff", true},
		"a form":     {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "a=b", true},
		"no type":    {nil, "{}", true},
		"compressed": {http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, "{}", true},
	} {
		_, body := send(t, "POST", url, c.header, []byte(c.body))
		var e events.LambdaFunctionURLRequest
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatal(err)
		}
		want := c.body
		if c.encoded {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if e.IsBase64Encoded != c.encoded || e.Body != want {
			t.Errorf("%s: %q, base64: %v", name, e.Body, e.IsBase64Encoded)
		}
	}
}

func TestResponsesOfTheURL(t *testing.T) {
	url := newFunction(t, runtimetest.Config{}).URL()
	if resp, body := send(t, "GET", url+"/binary", nil, nil); resp.StatusCode != 200 || string(body) != "\x00\xff\x01" || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("binary: %d %q", resp.StatusCode, body)
	}
	if resp, body := send(t, "GET", url+"/fail", nil, nil); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("failed: %d %s", resp.StatusCode, body)
	}
}
