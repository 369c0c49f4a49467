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

func newFunction(t *testing.T, c runtimetest.Config) *runtimetest.Function {
	t.Helper()
	c.Name, c.Program = "stack-program", programs.Build(t, "./testdata/program")
	return runtimetest.NewService(t).Add(c)
}

func mustInvoke(t *testing.T, f *runtimetest.Function, e event) runtimetest.Result {
	t.Helper()
	r, err := f.Invoke(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantError fails the test unless an invocation failed, with an error document.
func wantError(t *testing.T, r runtimetest.Result, kind, message string) {
	t.Helper()
	if r.Error == nil || r.Error.Type != kind || !strings.Contains(r.Error.Message, message) {
		t.Errorf("error %v, want %s: …%s…", r.Error, kind, message)
	}
	var document runtimetest.FunctionError
	if err := json.Unmarshal(r.Payload, &document); err != nil || document.Type != kind {
		t.Errorf("payload %s, %v", r.Payload, err)
	}
}

func TestAnEnvironmentIsReused(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	first, second := mustInvoke(t, f, event{"do": "count"}), mustInvoke(t, f, event{"do": "count"})
	if string(first.Payload) != "1" || string(second.Payload) != "2" || !first.Cold || second.Cold {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
}

func TestAProcessHasTheVariablesOfLambdaOnly(t *testing.T) {
	t.Setenv("AWS_PROFILE", "of the test")
	f := newFunction(t, runtimetest.Config{Env: map[string]string{"CHEF_SYNC_STACK": "stack"}})
	var environ []string
	if err := mustInvoke(t, f, event{"do": "environ"}).Decode(&environ); err != nil {
		t.Fatal(err)
	}
	all := "\n" + strings.Join(environ, "\n") + "\n"
	for _, want := range []string{"AWS_LAMBDA_FUNCTION_NAME=stack-program", "AWS_REGION=us-east-1", "_HANDLER=bootstrap", "CHEF_SYNC_STACK=stack"} {
		if !strings.Contains(all, "\n"+want+"\n") {
			t.Errorf("%s is missing in%s", want, all)
		}
	}
	for _, other := range []string{"AWS_PROFILE=", "HOME=", "GOPATH="} {
		if strings.Contains(all, "\n"+other) {
			t.Errorf("%s of the test is inherited", other)
		}
	}
}

func TestTheContextOfAnInvocation(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: 30 * time.Second})
	var got struct {
		Left    float64
		ID, ARN string
	}
	err := mustInvoke(t, f, event{"do": "context"}).Decode(&got)
	if err != nil || got.Left < 20 || got.Left > 30 || got.ID == "" || !strings.HasSuffix(got.ARN, ":function:stack-program") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAFailedInvocationKeepsItsEnvironment(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	wantError(t, mustInvoke(t, f, event{"do": "error", "text": "weather"}), "wrapError", "weather: not today")
	if next := mustInvoke(t, f, event{"do": "count"}); next.Cold || string(next.Payload) != "2" {
		t.Errorf("the next: %+v", next)
	}
}

func TestAProcessThatEndsIsReplaced(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	for what, want := range map[string][2]string{
		"panic": {"string", "at the disco"}, // the runtime reports it
		"exit":  {"Runtime.ExitError", "exit status 3"},
	} {
		wantError(t, mustInvoke(t, f, event{"do": what, "text": "at the disco"}), want[0], want[1])
		if next := mustInvoke(t, f, event{"do": "count"}); !next.Cold || string(next.Payload) != "1" {
			t.Errorf("after %s: %+v", what, next)
		}
	}
}

func TestAFailedInit(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Env: map[string]string{"FAIL": "yes"}})
	r := mustInvoke(t, f, event{"do": "count"})
	wantError(t, r, "Runtime.ExitError", "exit status 1")
	if !strings.Contains(r.Log.String(), "no configuration") {
		t.Errorf("log:\n%s", r.Log)
	}
	broken := runtimetest.NewService(t).Add(runtimetest.Config{Name: "broken", Program: "/nowhere/bootstrap"})
	wantError(t, mustInvoke(t, broken, event{"do": "count"}), "Runtime.InvalidEntrypoint", "/nowhere")
}

func TestAnInvocationIsKilledAtItsDeadline(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: 200 * time.Millisecond})
	r := mustInvoke(t, f, event{"do": "hang"})
	wantError(t, r, "Sandbox.Timedout", "Task timed out after 0.20 seconds")
	if !strings.Contains(r.Log.String(), "hanging\n") {
		t.Errorf("log:\n%s", r.Log)
	}
	r, err := f.InvokeWithin(t.Context(), event{"do": "context"}, time.Hour)
	if err != nil || !r.Cold || !strings.Contains(string(r.Payload), `"left":3599`) {
		t.Errorf("within an hour: %s, cold %v, %v", r.Payload, r.Cold, err)
	}
}

func TestKillEndsIdleAndRunningProcesses(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: time.Minute})
	mustInvoke(t, f, event{"do": "count"})
	f.Kill()
	if second := mustInvoke(t, f, event{"do": "count"}); !second.Cold {
		t.Error("an idle environment survived")
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan runtimetest.Result)
	go func() { running <- mustInvoke(t, f, event{"do": "hang"}) }()
	waitForLog(t, f, "hanging")
	cancel() // an invocation goes on without its caller
	if _, err := f.Invoke(ctx, event{"do": "count"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	f.Kill()
	wantError(t, <-running, "Runtime.ExitError", "signal: killed")
}

// waitForLog waits until the function has logged a line.
func waitForLog(t *testing.T, f *runtimetest.Function, line string) {
	t.Helper()
	for !strings.Contains(f.Log().String(), line+"\n") {
		if t.Context().Err() != nil {
			t.Fatalf("%s isn't logged", line)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNothingRunsBetweenInvocations(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: freezing needs Linux")
	}
	f := newFunction(t, runtimetest.Config{})
	mustInvoke(t, f, event{"do": "background"})
	const pause = 300 * time.Millisecond
	<-time.After(pause) // the test is about the time that passes
	var longest int64
	if err := mustInvoke(t, f, event{"do": "pause"}).Decode(&longest); err != nil || longest < pause.Milliseconds()-20 {
		t.Errorf("the goroutine didn't run for %d ms of %v, %v", longest, pause, err)
	}
}

func TestConcurrentInvocationsHaveTheirOwnEnvironments(t *testing.T) {
	f := newFunction(t, runtimetest.Config{Timeout: time.Minute})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if r := mustInvoke(t, f, event{"do": "hang"}); !r.Cold {
				t.Error("an environment is shared")
			}
		})
	}
	for strings.Count(f.Log().String(), "hanging\n") < 3 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	f.Kill()
	group.Wait()
}

func TestTheLog(t *testing.T) {
	f := newFunction(t, runtimetest.Config{})
	first, second := mustInvoke(t, f, event{"do": "echo"}), mustInvoke(t, f, event{"do": "echo"})
	const line = "without a newline\n"
	if first.Log.String() != "the program starts\n"+line || second.Log.String() != line || f.Log().String() != first.Log.String()+line {
		t.Errorf("first\n%ssecond\n%sall\n%s", first.Log, second.Log, f.Log())
	}
}

func TestCPUTimeAndMemoryAreMeasured(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: measuring needs Linux")
	}
	f := newFunction(t, runtimetest.Config{})
	burnt, idle := mustInvoke(t, f, event{"do": "burn"}), mustInvoke(t, f, event{"do": "count"})
	if burnt.CPU < 20*time.Millisecond || burnt.CPU > time.Second || idle.CPU <= 0 || idle.CPU > burnt.CPU/2 {
		t.Errorf("CPU %v and %v", burnt.CPU, idle.CPU)
	}
	if burnt.InitCPU <= 0 || burnt.InitCPU > time.Second || idle.InitCPU != 0 {
		t.Errorf("CPU of the start %v and %v", burnt.InitCPU, idle.InitCPU)
	}
	if mib := idle.PeakRSS >> 20; mib < 2 || mib > 100 {
		t.Errorf("%d MiB at most", mib)
	}
	// The memory of the test isn't that of the process.
	ballast := bytes.Repeat([]byte("x"), 200<<20)
	f.Kill()
	if r := mustInvoke(t, f, event{"do": "count"}); r.PeakRSS > 100<<20 {
		t.Errorf("%d bytes beside %d of the test", r.PeakRSS, len(ballast))
	}
	runtime.KeepAlive(ballast)
}
