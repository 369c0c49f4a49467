package runtimetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/cloud/runtimetest"
)

// programs builds the program of these tests.
var programs runtimetest.Programs

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

type event map[string]any

func do(what string) event { return event{"do": what} }

func newFunction(t *testing.T, c runtimetest.Config) *runtimetest.Function {
	t.Helper()
	c.Name, c.Program = "stack-program", programs.Build(t, "./testdata/program")
	return runtimetest.NewService(t).Add(c)
}

// invoke invokes the function and expects Lambda to have nothing against it.
func invoke(t *testing.T, f *runtimetest.Function, e any) runtimetest.Result {
	t.Helper()
	r, err := f.Invoke(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expectError expects an invocation to fail, and the error document to say so.
func expectError(t *testing.T, r runtimetest.Result, kind, message string) {
	t.Helper()
	if r.Error == nil || r.Error.Type != kind || !strings.Contains(r.Error.Message, message) {
		t.Errorf("error %v, want %s: …%s…", r.Error, kind, message)
	}
	var document runtimetest.FunctionError
	if err := json.Unmarshal(r.Payload, &document); err != nil || document.Type != kind {
		t.Errorf("payload %s, %v", r.Payload, err)
	}
}

func TestAnEnvironmentIsUsedAgain(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	first, second := invoke(t, f, do("count")), invoke(t, f, do("count"))
	if string(first.Payload) != "1" || string(second.Payload) != "2" || first.Stream != second.Stream || first.RequestID == second.RequestID {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	if !first.Cold || first.Init == 0 || second.Cold || second.Init != 0 {
		t.Errorf("cold: %v after %v, then %v after %v", first.Cold, first.Init, second.Cold, second.Init)
	}
}

func TestAFunctionIsToldWhatLambdaTellsItAndNoMore(t *testing.T) {
	t.Setenv("AWS_PROFILE", "of the person who tests")
	f := newFunction(t, runtimetest.Config{Region: "eu-central-1", MemoryMB: 256, Env: map[string]string{"CHEF_SYNC_STACK": "stack"}})
	var environ []string
	if err := invoke(t, f, do("environ")).Decode(&environ); err != nil {
		t.Fatal(err)
	}
	all := "\n" + strings.Join(environ, "\n") + "\n"
	for _, want := range []string{"AWS_LAMBDA_FUNCTION_NAME=stack-program", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/stack-program", "AWS_REGION=eu-central-1", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=" + f.TaskRoot, "CHEF_SYNC_STACK=stack"} {
		if !strings.Contains(all, "\n"+want+"\n") {
			t.Errorf("%s is missing in%s", want, all)
		}
	}
	for _, other := range []string{"AWS_PROFILE=", "HOME=", "GOPATH="} {
		if strings.Contains(all, "\n"+other) {
			t.Errorf("%s of the test is there", other)
		}
	}
}

func TestTheContextOfAnInvocation(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: 30 * time.Second})
	r := invoke(t, f, do("context"))
	var seen struct {
		Left    float64
		ID, ARN string
	}
	if err := r.Decode(&seen); err != nil || seen.Left < 20 || seen.Left > 30 || seen.ID != r.RequestID || seen.ARN != f.ARN() {
		t.Errorf("%+v, %v", seen, err)
	}
}

func TestAFailedInvocationKeepsItsEnvironment(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	r := invoke(t, f, event{"do": "error", "text": "weather"})
	expectError(t, r, "wrapError", "weather: not today")
	if again := invoke(t, f, do("count")); again.Cold || string(again.Payload) != "2" {
		t.Errorf("the next: %+v", again)
	}
}

func TestAnEndOfTheProcess(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	for what, want := range map[string][2]string{
		"panic": {"string", "at the disco"}, // the runtime reports it
		"exit":  {"Runtime.ExitError", "Error: Runtime exited with error: exit status 3"},
		"leave": {"Runtime.ExitError", "Error: Runtime exited without providing a reason"},
	} {
		expectError(t, invoke(t, f, event{"do": what, "text": "at the disco"}), want[0], want[1])
		if next := invoke(t, f, do("count")); !next.Cold || string(next.Payload) != "1" {
			t.Errorf("after %s: %+v", what, next)
		}
	}
}

func TestAFailedInit(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Env: map[string]string{"FAIL": "yes"}})
	r := invoke(t, f, do("count"))
	expectError(t, r, "Runtime.ExitError", "exit status 1")
	if !strings.Contains(r.Log.String(), "no configuration") {
		t.Errorf("log:\n%s", r.Log)
	}
	broken := runtimetest.NewService(t).Add(runtimetest.Config{Name: "broken", Program: "/nowhere/bootstrap"})
	expectError(t, invoke(t, broken, do("count")), "Runtime.InvalidEntrypoint", "/nowhere")
}

func TestAnInvocationIsKilledAtItsDeadline(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: 200 * time.Millisecond})
	r := invoke(t, f, do("hang"))
	expectError(t, r, "Sandbox.Timedout", "Task timed out after 0.20 seconds")
	if !strings.Contains(r.Log.String(), "hanging\n") || r.Duration < f.Timeout {
		t.Errorf("after %v with the log\n%s", r.Duration, r.Log)
	}
	if next := invoke(t, f, do("count")); !next.Cold {
		t.Error("its environment is used again")
	}
	r, err := f.InvokeWithin(t.Context(), do("context"), time.Hour)
	if err != nil || !strings.Contains(string(r.Payload), `"left":3599`) {
		t.Errorf("within an hour: %s, %v", r.Payload, err)
	}
}

// What a function does between its deadline and its end counts.
func TestAKillMayComeLate(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: 50 * time.Millisecond, KillDelay: time.Minute})
	if r := invoke(t, f, do("until the deadline")); string(r.Payload) != `"in time"` {
		t.Errorf("%s", r.Payload)
	}
}

func TestKill(t *testing.T) {
	hanging := make(chan bool, 1)
	f := newFunction(t, runtimetest.Config{Timeout: time.Minute, OnLog: func(l runtimetest.Line) {
		if l.Text == "hanging" {
			hanging <- true
		}
	}})
	first := invoke(t, f, do("count"))
	f.Kill()
	if second := invoke(t, f, do("count")); !second.Cold || second.Stream == first.Stream {
		t.Errorf("an idle environment survived")
	}
	go func() {
		<-hanging
		f.Kill()
	}()
	expectError(t, invoke(t, f, do("hang")), "Runtime.ExitError", "signal: killed")
}

func TestNothingRunsBetweenInvocations(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: no process can be frozen here")
	}
	f := newFunction(t, runtimetest.Config{})
	invoke(t, f, do("background"))
	const pause = 300 * time.Millisecond
	<-time.After(pause) // time that passes is what this is about
	var longest int64
	if err := invoke(t, f, do("pause")).Decode(&longest); err != nil || longest < pause.Milliseconds()-20 {
		t.Errorf("the goroutine rested for %d ms of %v, %v", longest, pause, err)
	}
}

func TestLimitsOfPayloads(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: time.Minute})
	fits := runtimetest.MaxPayload - 100
	if r := invoke(t, f, event{"do": "echo", "text": strings.Repeat("x", fits)}); len(r.Payload) != fits+2 {
		t.Errorf("%d bytes came back, %v", len(r.Payload), r.Error)
	}
	if _, err := f.Invoke(t.Context(), strings.Repeat("x", runtimetest.MaxPayload)); !errors.Is(err, runtimetest.ErrTooLarge) {
		t.Errorf("a larger event: %v", err)
	}
	if _, err := f.InvokeEvent(strings.Repeat("x", runtimetest.MaxEvent)); !errors.Is(err, runtimetest.ErrTooLarge) {
		t.Errorf("a larger event to queue: %v", err)
	}
	if _, err := f.Invoke(t.Context(), []byte("{")); !errors.Is(err, runtimetest.ErrNotJSON) {
		t.Errorf("half an event: %v", err)
	}
	expectError(t, invoke(t, f, event{"do": "large", "size": runtimetest.MaxPayload}), "Function.ResponseSizeTooLarge", "6291456")
	if r := invoke(t, f, do("count")); r.Error != nil {
		t.Errorf("the next: %v", r.Error)
	}
}

func TestConcurrentInvocationsHaveEnvironmentsOfTheirOwn(t *testing.T) {
	const n = 4
	f := newFunction(t, runtimetest.Config{Concurrency: n, Timeout: time.Minute, KillDelay: time.Minute})
	var wg sync.WaitGroup
	streams := make(chan string, n)
	for range n {
		wg.Go(func() {
			r, err := f.InvokeWithin(t.Context(), do("until the deadline"), time.Second)
			if err != nil || r.Error != nil || !r.Cold {
				t.Errorf("%+v, %v", r, err)
			}
			streams <- r.Stream
		})
	}
	wg.Wait()
	close(streams)
	seen := map[string]bool{}
	for s := range streams {
		seen[s] = true
	}
	if len(seen) != n {
		t.Errorf("%d environments for %d invocations at once", len(seen), n)
	}
	if r := invoke(t, f, do("count")); r.Cold || !seen[r.Stream] {
		t.Errorf("the next: %+v", r)
	}
}

func TestMoreThanTheConcurrencyIsRefused(t *testing.T) {
	at := make(chan bool, 1)
	f := newFunction(t, runtimetest.Config{Concurrency: 1, Timeout: time.Minute, OnLog: func(l runtimetest.Line) {
		if l.Text == "hanging" {
			at <- true
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := f.Invoke(ctx, do("hang")); done <- err }()
	<-at
	if _, err := f.Invoke(t.Context(), do("count")); !errors.Is(err, runtimetest.ErrThrottled) {
		t.Errorf("error %v", err)
	}
	id, err := f.InvokeEvent(do("echo"))
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the caller goes, the invocation stays
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := f.Invoke(t.Context(), do("count")); !errors.Is(err, runtimetest.ErrThrottled) {
		t.Errorf("after the caller went: %v", err)
	}
	f.Kill()
	f.Wait()
	if !strings.Contains(f.Log().String(), "END RequestId: "+id) {
		t.Errorf("the event that waited was not handled:\n%s", f.Log())
	}
}

func TestAnEventIsTriedAgainAndThenGivenUp(t *testing.T) {
	records := make(chan []byte, 10)
	f := newFunction(t, runtimetest.Config{Retries: 2, OnFailure: func(r []byte) { records <- r }})
	if _, err := f.InvokeEvent(do("count")); err != nil {
		t.Fatal(err)
	}
	id, err := f.InvokeEvent(event{"do": "error", "text": "weather"})
	if err != nil {
		t.Fatal(err)
	}
	f.Wait()
	if n := strings.Count(f.Log().String(), "START RequestId: "+id); n != 3 {
		t.Errorf("%d attempts", n)
	}
	var record struct {
		RequestContext struct {
			RequestID, FunctionARN, Condition string
			ApproximateInvokeCount            int
		}
		RequestPayload  event
		ResponsePayload runtimetest.FunctionError
	}
	if err := json.Unmarshal(<-records, &record); err != nil || len(records) != 0 {
		t.Fatalf("%v; %d more records", err, len(records))
	}
	c := record.RequestContext
	if c.RequestID != id || c.FunctionARN != f.ARN()+":$LATEST" || c.Condition != "RetriesExhausted" || c.ApproximateInvokeCount != 3 ||
		record.RequestPayload["text"] != "weather" || record.ResponsePayload.Message != "weather: not today" {
		t.Errorf("record %+v", record)
	}
}

func TestTheLog(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	first := invoke(t, f, event{"do": "echo", "text": "x"})
	second := invoke(t, f, event{"do": "echo", "text": "x"})
	var texts []string
	for _, line := range f.Log() {
		texts = append(texts, line.Text)
		if line.Stream != first.Stream || line.At.IsZero() {
			t.Errorf("%+v", line)
		}
	}
	for i, want := range []string{"INIT_START ", "the program starts", "START RequestId: " + first.RequestID, "without a newline", "END RequestId: " + first.RequestID,
		"REPORT RequestId: " + first.RequestID, "START RequestId: " + second.RequestID, "without a newline", "END ", "REPORT "} {
		if i >= len(texts) || !strings.HasPrefix(texts[i], want) {
			t.Fatalf("line %d isn't %q in\n%s", i, want, f.Log())
		}
	}
	if len(first.Log) != 6 || len(second.Log) != 4 || second.Log[1].RequestID != second.RequestID {
		t.Errorf("first\n%ssecond\n%s", first.Log, second.Log)
	}
}

func TestWhatAnInvocationCosts(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: measuring needs Linux")
	}
	f := newFunction(t, runtimetest.Config{})
	burnt, idle := invoke(t, f, do("burn")), invoke(t, f, do("count"))
	if burnt.CPU < 20*time.Millisecond || burnt.CPU > time.Second || idle.CPU <= 0 || idle.CPU > burnt.CPU/2 {
		t.Errorf("CPU %v and %v", burnt.CPU, idle.CPU)
	}
	if burnt.InitCPU <= 0 || burnt.InitCPU > time.Second || idle.InitCPU != 0 {
		t.Errorf("CPU of the start %v and %v", burnt.InitCPU, idle.InitCPU)
	}
	if mib := idle.PeakRSS >> 20; mib < 2 || mib > 100 {
		t.Errorf("%d MiB at most", mib)
	}
	// A test binary that is large itself doesn't count.
	ballast := bytes.Repeat([]byte("x"), 200<<20)
	f.Kill()
	if r := invoke(t, f, do("count")); r.PeakRSS > 100<<20 {
		t.Errorf("%d bytes beside %d of the test", r.PeakRSS, len(ballast))
	}
	runtime.KeepAlive(ballast)
}
