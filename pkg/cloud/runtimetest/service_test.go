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
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"chefsync/pkg/cloud/runtimetest"
)

// newClient is a client as programs make it, and the function that it reaches.
func newClient(t *testing.T, c runtimetest.Config) (*lambda.Client, *runtimetest.Function) {
	t.Helper()
	c.Name, c.Program = "stack-program", programs.Build(t, "./testdata/program")
	service := runtimetest.NewService(t)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_LAMBDA": service.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
	if err != nil {
		t.Fatal(err)
	}
	return lambda.NewFromConfig(cfg), service.Add(c)
}

func TestAClientInvokesByNameAndByARN(t *testing.T) {
	client, f := newClient(t, runtimetest.Config{})
	for _, name := range []string{"stack-program", "stack-program:$LATEST", f.ARN(), f.ARN() + ":$LATEST", "123456789012:function:stack-program"} {
		out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: []byte(`{"do":"echo","text":"hello"}`), LogType: types.LogTypeTail})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		log, _ := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
		if string(out.Payload) != `"hello"` || out.StatusCode != 200 || out.FunctionError != nil || *out.ExecutedVersion != "$LATEST" || !strings.Contains(string(log), "REPORT RequestId") {
			t.Errorf("%s: %s, %+v\n%s", name, out.Payload, out, log)
		}
	}
}

func TestAClientSeesTheErrorOfTheFunction(t *testing.T) {
	client, _ := newClient(t, runtimetest.Config{})
	out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("stack-program"), Payload: []byte(`{"do":"panic","text":"at the disco"}`)})
	if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || out.StatusCode != 200 || !strings.Contains(string(out.Payload), `"errorMessage":"at the disco"`) || out.LogResult != nil {
		t.Errorf("%s, %+v, %v", out.Payload, out, err)
	}
}

func TestAClientQueuesAnEvent(t *testing.T) {
	client, f := newClient(t, runtimetest.Config{})
	out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("stack-program"), InvocationType: types.InvocationTypeEvent, Payload: []byte(`{"do":"count"}`)})
	if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	f.Wait()
	if n := strings.Count(f.Log().String(), "END RequestId"); n != 1 {
		t.Errorf("%d invocations", n)
	}
	out, err = client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("stack-program"), InvocationType: types.InvocationTypeDryRun})
	if err != nil || out.StatusCode != 204 {
		t.Errorf("a dry run: %+v, %v", out, err)
	}
	f.Wait()
	if n := strings.Count(f.Log().String(), "END RequestId"); n != 1 {
		t.Errorf("%d invocations after a dry run", n)
	}
}

func TestWhatAClientIsRefused(t *testing.T) {
	client, _ := newClient(t, runtimetest.Config{})
	invoke := func(name string, kind types.InvocationType, payload []byte) error {
		_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, InvocationType: kind, Payload: payload})
		return err
	}
	var notFound *types.ResourceNotFoundException
	if err := invoke("other", "", nil); !errors.As(err, &notFound) {
		t.Errorf("no such function: %v", err)
	}
	var notJSON *types.InvalidRequestContentException
	if err := invoke("stack-program", "", []byte("{")); !errors.As(err, &notJSON) {
		t.Errorf("half an event: %v", err)
	}
	var tooLarge *types.RequestTooLargeException
	for kind, most := range map[types.InvocationType]int{types.InvocationTypeRequestResponse: runtimetest.MaxPayload, types.InvocationTypeEvent: runtimetest.MaxEvent} {
		if err := invoke("stack-program", kind, bytes.Repeat([]byte("1"), most+1)); !errors.As(err, &tooLarge) {
			t.Errorf("%s of %d bytes: %v", kind, most+1, err)
		}
	}
}

func TestAClientIsThrottled(t *testing.T) {
	at := make(chan bool, 1)
	client, f := newClient(t, runtimetest.Config{Concurrency: 1, OnLog: func(l runtimetest.Line) {
		if l.Text == "hanging" {
			at <- true
		}
	}})
	if _, err := f.InvokeEvent(do("hang")); err != nil {
		t.Fatal(err)
	}
	<-at
	_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("stack-program")})
	var throttled *types.TooManyRequestsException
	if !errors.As(err, &throttled) {
		t.Errorf("error %v", err)
	}
}

// request sends a request to the function's URL.
func request(t *testing.T, method, url string, header http.Header, body []byte) (*http.Response, []byte) {
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
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, answer
}

func TestARequestToTheURLBecomesAnEvent(t *testing.T) {
	url := newFunction(t, runtimetest.Config{}).URL()
	resp, body := request(t, "PUT", url+"/organizations/a%2Fb/x?seq=5&kind=a&kind=b%20c", http.Header{"X-Ops-Sign": {"version=1.3", "more"}, "Cookie": {"a=1; b=2"}, "Content-Type": {"application/json"}}, []byte(`{"ä":1}`))
	var seen events.LambdaFunctionURLRequest
	if err := json.Unmarshal(body, &seen); err != nil || resp.StatusCode != 201 {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	if seen.Version != "2.0" || seen.RawPath != "/organizations/a%2Fb/x" || seen.RawQueryString != "seq=5&kind=a&kind=b%20c" || seen.QueryStringParameters["kind"] != "a,b c" ||
		seen.RequestContext.HTTP.Method != "PUT" || seen.RequestContext.HTTP.SourceIP != "127.0.0.1" || seen.RequestContext.RequestID == "" || seen.RequestContext.TimeEpoch == 0 {
		t.Errorf("event %+v", seen)
	}
	if seen.Headers["x-ops-sign"] != "version=1.3,more" || strings.Join(seen.Cookies, "|") != "a=1|b=2" || "http://"+seen.Headers["host"] != url {
		t.Errorf("headers %v, cookies %v", seen.Headers, seen.Cookies)
	}
	if seen.Body != `{"ä":1}` || seen.IsBase64Encoded {
		t.Errorf("body %q, base64: %v", seen.Body, seen.IsBase64Encoded)
	}
	if resp.Header.Get("X-Seen") != "yes" || len(resp.Cookies()) != 2 || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", resp.Header)
	}
}

func TestABodyThatIsNotTextIsEncoded(t *testing.T) {
	url := newFunction(t, runtimetest.Config{}).URL()
	for name, c := range map[string]struct {
		header http.Header
		body   string
		coded  bool
	}{
		"none":      {nil, "", false},
		"text":      {http.Header{"Content-Type": {"text/csv; charset=utf-8"}}, "a,b", false},
		"bytes":     {http.Header{"Content-Type": {"application/octet-stream"}}, "\x00\xff", true},
		"not UTF-8": {http.Header{"Content-Type": {"application/json"}}, "\xff", true},
		"a form":    {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "a=b", true},
		"no type":   {nil, "{}", true},
		"packed":    {http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, "{}", true},
	} {
		_, body := request(t, "POST", url, c.header, []byte(c.body))
		var seen events.LambdaFunctionURLRequest
		if err := json.Unmarshal(body, &seen); err != nil {
			t.Fatal(err)
		}
		want := c.body
		if c.coded {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if seen.IsBase64Encoded != c.coded || seen.Body != want {
			t.Errorf("%s: %q, base64: %v", name, seen.Body, seen.IsBase64Encoded)
		}
	}
}

func TestWhatAURLAnswers(t *testing.T) {
	url := newFunction(t, runtimetest.Config{}).URL()
	if resp, body := request(t, "GET", url+"/plain", nil, nil); resp.StatusCode != 200 || string(body) != `{"hello":"world"}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("plain: %d %s", resp.StatusCode, body)
	}
	if resp, body := request(t, "GET", url+"/binary", nil, nil); resp.StatusCode != 200 || string(body) != "\x00\xff\x01" || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("binary: %d %q", resp.StatusCode, body)
	}
	if resp, body := request(t, "GET", url+"/fail", nil, nil); resp.StatusCode != 502 {
		t.Errorf("failed: %d %s", resp.StatusCode, body)
	}
	if resp, body := request(t, "POST", url, nil, bytes.Repeat([]byte("x"), runtimetest.MaxPayload)); resp.StatusCode != 413 {
		t.Errorf("large: %d %s", resp.StatusCode, body)
	}
}
