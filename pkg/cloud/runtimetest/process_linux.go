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

// processAttributes makes the kernel kill the process when the test binary ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// freezeProcess stops a process, and returns once no thread of it runs.
func freezeProcess(p *os.Process) {
	_ = p.Signal(syscall.SIGSTOP) // it may have ended
	for !isStopped(p.Pid) {
		time.Sleep(100 * time.Microsecond)
	}
}

func thawProcess(p *os.Process) { _ = p.Signal(syscall.SIGCONT) }

// isStopped reports whether no thread of a process can run, see proc_pid_stat(5).
func isStopped(pid int) bool {
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
		// The state follows the name, which is in parentheses and may contain some.
		if i := bytes.LastIndex(stat, []byte(") ")); i >= 0 && !bytes.ContainsAny(stat[i+2:i+3], "TZX") {
			return false
		}
	}
	return true
}

// processCPUTime returns the CPU time of all threads of a process. The id of the clock of
// another process is made as in clock_getcpuclockid(3).
func processCPUTime(pid int) time.Duration {
	const schedulerClock = 2
	var t syscall.Timespec
	clock := ^pid<<3 | schedulerClock
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}

// processPeakRSS returns the peak of the resident memory of a process in bytes. The
// rusage of a process includes the memory of its parent at the fork.
func processPeakRSS(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	number, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
	kilobytes, _ := strconv.ParseInt(string(number), 10, 64)
	return kilobytes << 10
}
