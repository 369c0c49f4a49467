package runtimetest

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// initLimit is how long a process may take until it asks for an invocation.
const initLimit = 10 * time.Second

// environment is a process with its own Runtime API. It runs one invocation at a time,
// and is frozen between them.
type environment struct {
	output    *output
	server    *http.Server
	cmd       *exec.Cmd
	tempDir   string
	ready     chan chan invocation // requests for the next invocation
	responses chan response
	exited    chan struct{}   // closed when the process has ended
	next      chan invocation // answers the pending request
	peakRSS   int64
}

// newEnvironment starts a process.
func newEnvironment(c *Config, log func(line string)) (*environment, error) {
	e := &environment{ready: make(chan chan invocation), responses: make(chan response), exited: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e.server = &http.Server{Handler: e.runtimeAPI()}
	go func() { _ = e.server.Serve(listener) }() // until Close
	if e.tempDir, err = os.MkdirTemp("", "runtimetest-tmp-"); err == nil {
		e.output, err = newOutput(log)
	}
	if err == nil {
		e.cmd = exec.Command(c.Program)
		e.cmd.Env, e.cmd.Dir = e.processVariables(c, listener.Addr().String()), filepath.Dir(c.Program)
		e.cmd.Stdout, e.cmd.Stderr, e.cmd.SysProcAttr = e.output.pipe, e.output.pipe, processAttributes()
		err = e.startProcess()
	}
	if err != nil {
		close(e.exited)
		e.close()
		return nil, err
	}
	return e, nil
}

// startProcess starts the process and waits for its end in a locked thread: Linux kills
// the process when the thread that started it ends.
func (e *environment) startProcess() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := e.cmd.Start()
		started <- err
		if err == nil {
			_ = e.cmd.Wait() // see ProcessState
			close(e.exited)
		}
	}()
	return <-started
}

// processVariables returns the variables of Lambda and of the function. The process inherits
// none of the test.
func (e *environment) processVariables(c *Config, api string) (list []string) {
	vars := map[string]string{
		"AWS_ACCESS_KEY_ID":               "test",
		"AWS_SECRET_ACCESS_KEY":           "test",
		"AWS_SESSION_TOKEN":               "test",
		"AWS_REGION":                      "us-east-1",
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_LAMBDA_FUNCTION_NAME":        c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"_HANDLER":                        "bootstrap",
		"LAMBDA_TASK_ROOT":                filepath.Dir(c.Program),
		"TZ":                              ":UTC",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TMPDIR":                          e.tempDir, // /tmp in Lambda, of one environment alone too
	}
	maps.Copy(vars, c.Env)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, name+"="+vars[name])
	}
	return list
}

// isAlive reports whether the process runs.
func (e *environment) isAlive() bool {
	select {
	case <-e.exited:
		return false
	default:
		return true
	}
}

// kill kills the process, frozen or not, and waits for its end.
func (e *environment) kill() {
	_ = e.cmd.Process.Kill() // it may have ended
	<-e.exited
}

// close frees the resources of an environment whose process has ended.
func (e *environment) close() {
	_ = e.server.Close()
	if e.output != nil {
		e.output.close()
	}
	_ = os.RemoveAll(e.tempDir)
}

// cpuTime returns the CPU time that the process has used.
func (e *environment) cpuTime() time.Duration {
	if e.isAlive() {
		if used := processCPUTime(e.cmd.Process.Pid); used > 0 {
			return used
		}
	}
	if !e.isAlive() {
		return e.cmd.ProcessState.UserTime() + e.cmd.ProcessState.SystemTime()
	}
	return 0
}

// freezeAndMeasure stops the process until the next invocation, and measures its memory.
func (e *environment) freezeAndMeasure() {
	freezeProcess(e.cmd.Process)
	e.peakRSS = max(e.peakRSS, processPeakRSS(e.cmd.Process.Pid))
}

// waitInit waits until the process asks for an invocation. It returns nil, or the error
// of Lambda.
func (e *environment) waitInit() *response {
	_, end := e.runProcess(initLimit)
	var failed response
	switch end {
	case endReady:
		e.freezeAndMeasure()
		return nil
	case endTimeout:
		failed = lambdaError("Sandbox.Timedout", fmt.Sprintf("Init timed out after %.2f seconds", initLimit.Seconds()))
	default:
		failed = e.exitError()
	}
	return &failed
}

// handleInvocation runs an invocation and returns the response of the function, or the error of
// Lambda.
func (e *environment) handleInvocation(inv invocation) response {
	thawProcess(e.cmd.Process)
	e.next <- inv
	got, end := e.runProcess(inv.timeout)
	if end == endReady {
		e.freezeAndMeasure()
	}
	switch {
	case got != nil: // the process may have ended since, by a panic
		return *got
	case end == endReady:
		return lambdaError("Runtime.Unknown", "the process asked for the next invocation without a response")
	case end == endTimeout:
		return lambdaError("Sandbox.Timedout", fmt.Sprintf("Task timed out after %.2f seconds", inv.timeout.Seconds()))
	}
	return e.exitError()
}

// exitError returns the error of Lambda for a process that ended without a response.
func (e *environment) exitError() response {
	return lambdaError("Runtime.ExitError", "Runtime exited: "+e.cmd.ProcessState.String())
}

// processEnd is why runProcess returned.
type processEnd int

const (
	endReady   processEnd = iota // the process asks for the next invocation
	endExited                    // it has ended
	endTimeout                   // it was killed after the limit
)

// runProcess waits until the process asks for an invocation, ends, or is killed after a
// limit. It returns the response that the process sent, if any.
func (e *environment) runProcess(limit time.Duration) (got *response, end processEnd) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case r := <-e.responses:
			got = &r
		case e.next = <-e.ready:
			return got, endReady
		case <-e.exited:
			return got, endExited
		case <-timer.C:
			e.kill()
			return got, endTimeout
		}
	}
}
