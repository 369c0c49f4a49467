package runtimetest

import (
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// environment is one process, with the Runtime API that only it knows. It
// belongs to one invocation at a time; nobody owns it between them, when the
// process is frozen.
type environment struct {
	config *Config
	stream string // names the environment, and its part of the log
	folder string // for its temporary files
	output *output
	server *http.Server
	cmd    *exec.Cmd
	calls  chan call
	done   chan struct{} // closed when the process has ended
	next   call          // the open request for the next invocation
	peak   int64
}

// launch starts a process. What it does at its start is work, too.
func launch(c *Config, sink func(Line)) (*environment, error) {
	e := &environment{config: c, stream: time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + newID(), calls: make(chan call), done: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e.server = &http.Server{Handler: e.runtimeAPI()}
	go func() { _ = e.server.Serve(listener) }() // ends by Close
	if err = e.prepare(sink); err == nil {
		e.cmd = exec.Command(c.Program)
		e.cmd.Env, e.cmd.Dir = e.variables(listener.Addr().String()), c.TaskRoot
		e.cmd.Stdout, e.cmd.Stderr, e.cmd.SysProcAttr = e.output.pipe, e.output.pipe, attributes()
		e.output.say("INIT_START Runtime Version: provided:al2023")
		err = e.start()
	}
	if err != nil {
		close(e.done)
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *environment) prepare(sink func(Line)) (err error) {
	if e.folder, err = os.MkdirTemp("", "runtimetest-tmp-"); err != nil {
		return err
	}
	e.output, err = newOutput(e.stream, sink)
	return err
}

// start starts the process and waits for its end in a thread of its own, which
// Linux takes for the parent whose end is the end of the process.
func (e *environment) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := e.cmd.Start()
		started <- err
		if err == nil {
			_ = e.cmd.Wait() // the ProcessState says it all
			close(e.done)
		}
	}()
	return <-started
}

// variables are those that Lambda sets, and those of the function. Nothing of
// the test's own environment gets in.
func (e *environment) variables(api string) []string {
	c := e.config
	vars := map[string]string{
		"AWS_ACCESS_KEY_ID":               "test",
		"AWS_SECRET_ACCESS_KEY":           "test",
		"AWS_SESSION_TOKEN":               "test",
		"AWS_REGION":                      c.Region,
		"AWS_DEFAULT_REGION":              c.Region,
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_LAMBDA_FUNCTION_NAME":        c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(c.MemoryMB),
		"AWS_LAMBDA_LOG_GROUP_NAME":       c.LogGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME":      e.stream,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"_HANDLER":                        "bootstrap",
		"LAMBDA_TASK_ROOT":                c.TaskRoot,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TMPDIR":                          e.folder, // in Lambda /tmp, and also of one environment alone
	}
	maps.Copy(vars, c.Env)
	var list []string
	for name, value := range vars {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// alive tells whether the process is still there.
func (e *environment) alive() bool {
	select {
	case <-e.done:
		return false
	default:
		return true
	}
}

// kill ends the process at once, frozen or not.
func (e *environment) kill() {
	_ = e.cmd.Process.Kill() // it may have ended
	<-e.done
}

// close frees what the environment of an ended process held.
func (e *environment) close() {
	_ = e.server.Close()
	if e.output != nil {
		e.output.close()
	}
	_ = os.RemoveAll(e.folder)
}

// cpu is the CPU time that the process has used so far.
func (e *environment) cpu() time.Duration {
	if e.alive() {
		if used := cpuTime(e.cmd.Process.Pid); used > 0 {
			return used
		}
	}
	if !e.alive() {
		return e.cmd.ProcessState.UserTime() + e.cmd.ProcessState.SystemTime()
	}
	return 0
}

// rest freezes the process, which waits for work.
func (e *environment) rest() {
	freeze(e.cmd.Process)
	e.peak = max(e.peak, peakRSS(e.cmd.Process.Pid))
}

// begin lets the process start, until it asks for work. It returns what is wrong,
// or nil.
func (e *environment) begin(request string) *answer {
	said, end := e.work("", InitLimit)
	switch {
	case end == waiting:
		e.rest()
		return nil
	case said != nil:
		e.kill()
		return said
	case end == late:
		return failure("Sandbox.Timedout", request, fmt.Sprintf("Init timed out after %.2f seconds", InitLimit.Seconds()))
	}
	return e.exit(request)
}

// handle has the process do an invocation. The answer is that of the function or
// tells how it failed.
func (e *environment) handle(inv invocation) *answer {
	e.output.begin(inv.id)
	e.output.say("START RequestId: " + inv.id + " Version: " + version)
	thaw(e.cmd.Process)
	e.next.deliver(inv)
	said, end := e.work(inv.id, inv.timeout+e.config.KillDelay)
	switch {
	case end == waiting:
		e.rest()
		if said == nil {
			return failure("Runtime.Unknown", inv.id, "Runtime asked for the next invocation without an answer")
		}
	case said != nil: // the process panicked, or was slow to ask for more
	case end == late:
		e.output.say(fmt.Sprintf("%s %s Task timed out after %.2f seconds", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), inv.id, inv.timeout.Seconds()))
		return failure("Sandbox.Timedout", inv.id, fmt.Sprintf("Task timed out after %.2f seconds", inv.timeout.Seconds()))
	default:
		return e.exit(inv.id)
	}
	return said
}

// exit is what Lambda says of a process that ended without a word.
func (e *environment) exit(request string) *answer {
	if e.cmd.ProcessState.Success() {
		return failure("Runtime.ExitError", request, "Runtime exited without providing a reason")
	}
	return failure("Runtime.ExitError", request, "Runtime exited with error: "+e.cmd.ProcessState.String())
}

// ending is why a process stopped to work.
type ending int

const (
	waiting ending = iota // it asks for the next invocation
	exited                // it has ended
	late                  // it was killed at its deadline
)

// work lets the process run for a time at most. It returns what the process had
// to say about an invocation, or about its start if that is "".
func (e *environment) work(id string, limit time.Duration) (said *answer, end ending) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case c := <-e.calls:
			switch {
			case c.next:
				e.next = c
				return said, waiting
			case c.request != id || said != nil:
				c.refuse(http.StatusBadRequest, "InvalidRequestID", "not the invocation at hand")
			case len(c.said.body) > MaxPayload:
				said = failure("Function.ResponseSizeTooLarge", id, fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload))
				c.refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the response is too large")
			default:
				said = c.said
				c.accept()
			}
		case <-e.done:
			return said, exited
		case <-timer.C:
			e.kill()
			return said, late
		}
	}
}

// report is what Lambda says of an invocation that is over.
func (e *environment) report(r Result) {
	initial := ""
	if r.Cold {
		initial = fmt.Sprintf("\tInit Duration: %.2f ms", milliseconds(r.Init))
	}
	e.output.flush()
	e.output.say("END RequestId: " + r.RequestID)
	e.output.say(fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\tMemory Size: %d MB\tMax Memory Used: %d MB%s",
		r.RequestID, milliseconds(r.Duration), math.Ceil(milliseconds(r.Init+r.Duration)), e.config.MemoryMB, r.PeakRSS>>20, initial))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
