package runtimetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// Config describes a function. Name and Program are required.
type Config struct {
	Name    string
	Program string            // absolute path, see [Programs.Build]
	Env     map[string]string // in addition to the variables of Lambda
	Timeout time.Duration     // default 3 s
}

// FunctionError is the error of a failed invocation: the one that the function returned,
// or one of Lambda, such as Runtime.ExitError or Sandbox.Timedout.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// Result is the result of an invocation.
type Result struct {
	Payload []byte         // JSON; the error document of a failed invocation
	Error   *FunctionError // nil if the function succeeded
	Log     Log            // with that of a cold start
	Cold    bool           // the process was started for this invocation

	CPU     time.Duration // of all threads, without InitCPU
	InitCPU time.Duration // of a cold start
	PeakRSS int64         // in bytes, since the start of the process; 0 if it ended in its first invocation
}

// Decode decodes the payload, or returns the error of the function.
func (r Result) Decode(into any) error {
	if r.Error != nil {
		return r.Error
	}
	return json.Unmarshal(r.Payload, into)
}

// invocation is an event for an environment.
type invocation struct {
	id, arn string
	event   []byte
	timeout time.Duration
}

// Function is a function of a [Service]. Its environments are started when they are
// needed and end with the test.
type Function struct {
	Config
	t testing.TB

	mu           sync.Mutex
	changed      *sync.Cond // queued or running changed
	queued       int        // events
	running      int        // invocations
	closed       bool
	idle         []*environment
	environments map[*environment]bool
	log          Log
}

func newFunction(t testing.TB, c Config) *Function {
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	f := &Function{Config: c, t: t, environments: map[*environment]bool{}}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// Invoke sends an event and waits for the result. A failure of the function is
// [Result.Error]; the error is that of the context, after whose end the invocation goes
// on. The event is encoded as JSON unless it is a []byte.
func (f *Function) Invoke(ctx context.Context, event any) (Result, error) {
	return f.InvokeWithin(ctx, event, f.Timeout)
}

// InvokeWithin is Invoke with another timeout than the function's.
func (f *Function) InvokeWithin(ctx context.Context, event any, timeout time.Duration) (Result, error) {
	inv, err := f.newInvocation(event, timeout)
	if err != nil {
		return Result{}, err
	}
	done := make(chan Result, 1)
	f.runAsync(&f.running, func() { done <- f.runInvocation(inv) })
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// InvokeEvent sends an event without waiting for the result.
func (f *Function) InvokeEvent(event any) error {
	inv, err := f.newInvocation(event, f.Timeout)
	if err == nil {
		f.runAsync(&f.queued, func() { f.runInvocation(inv) })
	}
	return err
}

// Wait waits until all events that were sent without waiting are done.
func (f *Function) Wait() { f.waitZero(&f.queued) }

// Kill kills the processes of all environments, as Lambda may at any time. Running
// invocations fail with Runtime.ExitError; the next ones are cold starts.
func (f *Function) Kill() {
	f.mu.Lock()
	all := slices.Collect(maps.Keys(f.environments))
	f.mu.Unlock()
	for _, e := range all {
		e.kill()
	}
}

// Log returns the log of all environments.
func (f *Function) Log() Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

func (f *Function) newInvocation(event any, timeout time.Duration) (invocation, error) {
	text, ok := event.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(event); err != nil {
			return invocation{}, err
		}
	}
	return invocation{id: newID(), arn: "arn:aws:lambda:us-east-1:123456789012:function:" + f.Name, event: text, timeout: timeout}, nil
}

// runInvocation runs an invocation in an idle environment or a new one.
func (f *Function) runInvocation(inv invocation) (r Result) {
	e := f.takeIdle()
	if e == nil {
		r.Cold = true
		var err error
		if e, err = f.startEnvironment(); err != nil {
			r.setResponse(lambdaError("Runtime.InvalidEntrypoint", err.Error()))
			return r
		}
		if failed := e.waitInit(); failed != nil {
			r.setResponse(*failed)
		}
		r.InitCPU = e.cpuTime()
	}
	if r.Error == nil {
		before := e.cpuTime()
		r.setResponse(e.handleInvocation(inv))
		r.CPU = e.cpuTime() - before
	}
	r.PeakRSS, r.Log = e.peakRSS, e.output.takeLines()
	f.releaseEnvironment(e)
	return r
}

func (r *Result) setResponse(p response) {
	r.Payload = p.body
	if p.failed {
		r.Error = &FunctionError{}
		_ = json.Unmarshal(p.body, r.Error) // other documents leave the fields empty
	}
}

// takeIdle returns the environment that became idle last, or nil.
func (f *Function) takeIdle() *environment {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := len(f.idle) - 1; n >= 0; n-- {
		e := f.idle[n]
		f.idle = f.idle[:n]
		if e.isAlive() {
			return e
		}
		delete(f.environments, e)
		go e.close() // its output takes the lock
	}
	return nil
}

func (f *Function) startEnvironment() (*environment, error) {
	e, err := newEnvironment(&f.Config, f.appendLog)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.environments[e] = true
	if f.closed {
		_ = e.cmd.Process.Kill() // close may have been called before it was listed
	}
	return e, nil
}

// releaseEnvironment makes an environment idle, or removes it if its process has ended.
func (f *Function) releaseEnvironment(e *environment) {
	f.mu.Lock()
	if e.isAlive() {
		f.idle = append(f.idle, e)
		f.mu.Unlock()
		return
	}
	delete(f.environments, e)
	f.mu.Unlock()
	e.close()
}

func (f *Function) appendLog(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, line)
}

// close kills all environments and waits for running invocations.
func (f *Function) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Kill()
	f.waitZero(&f.queued)
	f.waitZero(&f.running)
	f.Kill()
	for _, e := range f.idle {
		e.close()
	}
}

// runAsync runs work in a goroutine that n counts.
func (f *Function) runAsync(n *int, work func()) {
	f.addCount(n, 1)
	go func() {
		defer f.addCount(n, -1)
		work()
	}()
}

func (f *Function) addCount(n *int, delta int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n += delta
	f.changed.Broadcast()
}

func (f *Function) waitZero(n *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for *n > 0 {
		f.changed.Wait()
	}
}

// newID returns a random id in the form of a UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
