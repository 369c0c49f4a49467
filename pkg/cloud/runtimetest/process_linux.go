package runtimetest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// attributes: the process ends with the test binary, however that ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// freeze returns once no thread of the process runs.
func freeze(p *os.Process) {
	_ = p.Signal(syscall.SIGSTOP) // it may have ended
	for !stopped(p.Pid) {
		time.Sleep(100 * time.Microsecond)
	}
}

func thaw(p *os.Process) { _ = p.Signal(syscall.SIGCONT) }

// stopped tells whether no thread of a process can run: see proc_pid_stat(5).
func stopped(pid int) bool {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return true // it has ended
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(tasks + "/" + thread.Name() + "/stat")
		if err != nil {
			continue
		}
		// The state follows the name, which is in parentheses and may hold some.
		if _, rest, ok := cutLast(stat, ") "); ok && rest[0] != 'T' && rest[0] != 'Z' && rest[0] != 'X' {
			return false
		}
	}
	return true
}

func cutLast(b []byte, sep string) (before, after []byte, found bool) {
	i := bytes.LastIndex(b, []byte(sep))
	if i < 0 || i+len(sep) >= len(b) {
		return b, nil, false
	}
	return b[:i], b[i+len(sep):], true
}

// cpuTime is the CPU time that a process has used, of all its threads. The clock
// of another process is named as in clock_getcpuclockid(3).
func cpuTime(pid int) time.Duration {
	const schedulerClock = 2
	var t syscall.Timespec
	clock := ^pid<<3 | schedulerClock
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}

// peakRSS is the most memory, in bytes, that a process has had resident. The
// rusage of a process that ended won't do: it counts what its parent had when it
// was forked.
func peakRSS(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	number, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
	kilobytes, _ := strconv.ParseInt(string(number), 10, 64)
	return kilobytes << 10
}
