package assembly

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// pidSpace names the process ids that this process sees: of this boot of the machine
// and this PID namespace, and the clock by which their starts are told. "" if it can't be known.
func pidSpace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(strings.TrimSpace(string(boot))) == 0 {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	clock, _ := os.Readlink("/proc/self/ns/time") // the starts of processes differ by it; older kernels have none
	// A /proc of another namespace shows the processes of that one.
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return ""
	}
	return shortHash(strings.TrimSpace(string(boot)), namespace, clock)
}

// processStart returns when a process began, as the kernel counts, and whether it
// runs. A process whose end nobody took note of yet is gone.
func processStart(pid int) (string, processState) {
	// The signal 0 finds a process that /proc hides from this user.
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return "", processGone
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", processUnknown
	}
	return parseStat(string(stat))
}

// parseStat reads the state and the start out of /proc/PID/stat (proc(5)). The name
// before them is in parentheses, and may hold anything.
func parseStat(stat string) (string, processState) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const state, start = 0, 19 // fields 3 and 22 of the line
	switch {
	case len(fields) <= start:
		return "", processUnknown
	case fields[state] == "Z" || fields[state] == "X":
		return "", processGone
	}
	return fields[start], processRuns
}
