package runtimetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// Limits of Lambda.
const (
	// MaxPayload is the most bytes of an event and of a response.
	MaxPayload = 6 << 20
	// MaxEvent is the most bytes of an event that is queued.
	MaxEvent = 1 << 20
	// InitLimit is how long a process may take until it asks for work.
	InitLimit = 10 * time.Second
)

const (
	account = "123456789012"
	version = "$LATEST"
)

var (
	// ErrThrottled means that as many invocations are running as the function may have.
	ErrThrottled = errors.New("the concurrency of the function is used up")
	// ErrTooLarge means that the event is larger than Lambda takes.
	ErrTooLarge = errors.New("the event is too large")
	// ErrNotJSON means that the event isn't JSON: Lambda takes nothing else.
	ErrNotJSON = errors.New("the event isn't JSON")
)

// Config is a function. Only Name and Program must be set.
type Config struct {
	Name     string
	Program  string            // its absolute path, see [Programs.Build]
	Env      map[string]string // besides what Lambda sets
	Region   string            // default us-east-1
	TaskRoot string            // working folder; default that of the program
	LogGroup string            // default /aws/lambda/NAME
	MemoryMB int               // what the function is told, nothing more; default 128

	Timeout time.Duration // default 3 s
	// KillDelay is how long after its deadline a process is killed: no platform
	// is punctual.
	KillDelay   time.Duration
	Concurrency int // invocations at once; default 10, as in a new account

	// Retries is how often an event is tried again after a failure. Lambda's own
	// default is 2.
	Retries int
	// OnFailure is called with the record that a destination for failed events
	// gets: JSON as Lambda would send it to a queue. May be nil.
	OnFailure func(record []byte)
	// OnLog is called with each line as it comes, from one goroutine for each
	// environment. May be nil.
	OnLog func(Line)
}

// FunctionError is how an invocation failed: what the function returned, or why
// Lambda could not get an answer from it, such as Runtime.ExitError or
// Sandbox.Timedout.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// Result is an invocation that is over.
type Result struct {
	RequestID string
	Payload   []byte         // JSON; of a failed invocation the error document
	Error     *FunctionError // nil if the function succeeded
	Log       Log            // of a cold start too
	Stream    string         // names the environment
	Cold      bool           // the process was started for it

	Duration time.Duration // without Init
	CPU      time.Duration // of all threads, without InitCPU
	Init     time.Duration // of a cold start: from its start until the process asked for work
	InitCPU  time.Duration
	PeakRSS  int64 // bytes, of the process since its start; 0 if it ended at its first invocation
}

// Decode reads the response, or returns the function's error.
func (r Result) Decode(into any) error {
	if r.Error != nil {
		return r.Error
	}
	return json.Unmarshal(r.Payload, into)
}

// invocation is one event for one environment.
type invocation struct {
	id, arn string
	event   []byte
	timeout time.Duration
}

// Function is a function of a [Service]. Its environments are started when they
// are needed and end with the test.
type Function struct {
	Config
	t       testing.TB
	slots   chan struct{}
	closing chan struct{}

	mu      sync.Mutex
	closed  bool
	settled *sync.Cond // work or queued changed
	idle    []*environment
	all     map[*environment]bool
	log     Log
	queued  int // events that aren't done
	work    int // goroutines
}

func newFunction(c Config) *Function {
	set(&c.Region, "us-east-1")
	set(&c.TaskRoot, filepath.Dir(c.Program))
	set(&c.LogGroup, "/aws/lambda/"+c.Name)
	set(&c.MemoryMB, 128)
	set(&c.Timeout, 3*time.Second)
	set(&c.Concurrency, 10)
	f := &Function{Config: c, slots: make(chan struct{}, c.Concurrency), closing: make(chan struct{}), all: map[*environment]bool{}}
	f.settled = sync.NewCond(&f.mu)
	return f
}

func set[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// ARN is the function's name for other services.
func (f *Function) ARN() string {
	return "arn:aws:lambda:" + f.Region + ":" + account + ":function:" + f.Name
}

// Invoke sends an event and waits for the result: [Result.Error] says whether
// the function failed. The error is Lambda's own: [ErrThrottled], [ErrTooLarge],
// [ErrNotJSON] or that of the context, at whose end the invocation goes on unheard. The event
// is marshaled to JSON; a []byte is JSON already.
func (f *Function) Invoke(ctx context.Context, event any) (Result, error) {
	return f.InvokeWithin(ctx, event, f.Timeout)
}

// InvokeWithin is Invoke with another timeout than the function's.
func (f *Function) InvokeWithin(ctx context.Context, event any, timeout time.Duration) (Result, error) {
	inv, err := f.invocation(event, MaxPayload)
	if err != nil {
		return Result{}, err
	}
	inv.timeout = timeout
	select {
	case f.slots <- struct{}{}:
	default:
		return Result{}, fmt.Errorf("%s: %w", f.Name, ErrThrottled)
	}
	done := make(chan Result, 1)
	f.run(func() {
		r := f.handle(inv)
		<-f.slots
		done <- r
	})
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// InvokeEvent queues an event and returns the id of its invocation. The event
// waits while the concurrency of the function is used up.
func (f *Function) InvokeEvent(event any) (requestID string, err error) {
	inv, err := f.invocation(event, MaxEvent)
	if err != nil {
		return "", err
	}
	f.count(&f.queued, 1)
	f.run(func() {
		defer f.count(&f.queued, -1)
		for attempt := 1; ; attempt++ {
			select {
			case f.slots <- struct{}{}:
			case <-f.closing:
				return
			}
			r := f.handle(inv)
			<-f.slots
			if r.Error == nil || f.over() {
				return
			}
			if attempt > f.Retries {
				if f.OnFailure != nil {
					f.OnFailure(failedEvent(inv, r, attempt))
				}
				return
			}
		}
	})
	return inv.id, nil
}

// Wait returns when no event is queued or running.
func (f *Function) Wait() { f.await(&f.queued) }

// Kill ends all environments at once, as a platform may do at any time.
// Invocations under way fail by Runtime.ExitError; the next are cold starts.
func (f *Function) Kill() {
	f.mu.Lock()
	all := slices.Collect(maps.Keys(f.all))
	f.mu.Unlock()
	for _, e := range all {
		e.kill()
	}
}

// Log returns what all environments have written so far.
func (f *Function) Log() Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

func (f *Function) invocation(event any, most int) (invocation, error) {
	text, ok := event.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(event); err != nil {
			return invocation{}, err
		}
	}
	if len(text) > most {
		return invocation{}, fmt.Errorf("%s: an event of %d bytes: %w", f.Name, len(text), ErrTooLarge)
	}
	if !json.Valid(text) {
		return invocation{}, fmt.Errorf("%s: %w", f.Name, ErrNotJSON)
	}
	return invocation{id: newID(), arn: f.ARN(), event: text, timeout: f.Timeout}, nil
}

// handle does an invocation in an environment of its own, for which there is a
// slot.
func (f *Function) handle(inv invocation) Result {
	r := Result{RequestID: inv.id}
	e, began := f.rested(), time.Now()
	for e != nil && !e.alive() {
		f.drop(e)
		e = f.rested()
	}
	if e == nil {
		var err error
		if e, err = f.start(); err != nil {
			r.is(failure("Runtime.InvalidEntrypoint", inv.id, err.Error()))
			return r
		}
		if broken := e.begin(inv.id); broken != nil {
			r.is(broken)
		}
		r.Cold, r.Init, r.InitCPU = true, time.Since(began), e.cpu()
	}
	if r.Error == nil {
		before, began := e.cpu(), time.Now()
		r.is(e.handle(inv))
		r.Duration, r.CPU = time.Since(began), e.cpu()-before
	}
	r.Stream, r.PeakRSS = e.stream, e.peak
	e.report(r)
	r.Log = e.output.take()
	f.rest(e)
	return r
}

// is takes an answer for the result.
func (r *Result) is(a *answer) {
	if a.failed && !json.Valid(a.body) {
		a = failure("Runtime.Unknown", "", string(a.body))
	}
	r.Payload = a.body
	if a.failed {
		r.Error = &FunctionError{}
		_ = json.Unmarshal(a.body, r.Error) // without these fields, both stay ""
	}
}

// rested returns an environment that waits for work, the one that worked last,
// or nil.
func (f *Function) rested() *environment {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.idle)
	if n == 0 {
		return nil
	}
	e := f.idle[n-1]
	f.idle = f.idle[:n-1]
	return e
}

// start starts an environment, unless the test is over.
func (f *Function) start() (*environment, error) {
	e, err := launch(&f.Config, f.heard)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[e] = true
	if f.closed {
		_ = e.cmd.Process.Kill()
	}
	return e, nil
}

// rest keeps an environment for the next invocation if its process lives.
func (f *Function) rest(e *environment) {
	if !e.alive() {
		f.drop(e)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = append(f.idle, e)
}

// drop forgets an environment whose process has ended.
func (f *Function) drop(e *environment) {
	f.mu.Lock()
	delete(f.all, e)
	f.mu.Unlock()
	e.close() // without the lock, which its output takes
}

func (f *Function) heard(line Line) {
	f.mu.Lock()
	f.log = append(f.log, line)
	f.mu.Unlock()
	if f.OnLog != nil {
		f.OnLog(line)
	}
}

// close ends all environments and waits for the invocations under way.
func (f *Function) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	close(f.closing)
	f.Kill()
	f.await(&f.work)
	for e := f.rested(); e != nil; e = f.rested() {
		e.kill()
		f.drop(e)
	}
}

// over tells whether the test is.
func (f *Function) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func (f *Function) run(work func()) {
	f.count(&f.work, 1)
	go func() {
		defer f.count(&f.work, -1)
		work()
	}()
}

func (f *Function) count(n *int, by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n += by
	f.settled.Broadcast()
}

func (f *Function) await(n *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for *n > 0 {
		f.settled.Wait()
	}
}

// failedEvent is the record of an event that was given up. See "Capturing
// records of Lambda asynchronous invocations" in Lambda's documentation.
func failedEvent(inv invocation, r Result, attempts int) []byte {
	type m map[string]any
	record, _ := json.Marshal(m{ // of JSON that was checked and of plain values
		"version":   "1.0",
		"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext": m{"requestId": inv.id, "functionArn": inv.arn + ":" + version,
			"condition": "RetriesExhausted", "approximateInvokeCount": attempts},
		"requestPayload":  json.RawMessage(inv.event),
		"responseContext": m{"statusCode": 200, "executedVersion": version, "functionError": "Unhandled"},
		"responsePayload": json.RawMessage(r.Payload),
	})
	return record
}

// newID is a random id in the form of a UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
