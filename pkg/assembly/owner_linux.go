package assembly

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// pidSpace returns a hash of the boot of the machine, the PID namespace and the time
// namespace, by which the starts of processes differ. It is "" if one is unknown.
func pidSpace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(strings.TrimSpace(string(boot))) == 0 {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	clock, _ := os.Readlink("/proc/self/ns/time") // older kernels have none
	// A /proc of another namespace shows the processes of that one.
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return ""
	}
	return shortHash(strings.TrimSpace(string(boot)), namespace, clock)
}

// processStart returns the start of a process in clock ticks, and whether it runs. A
// zombie is gone.
func processStart(pid int) (string, processState) {
	// Signal 0 finds a process that /proc hides from this user.
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return "", processGone
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", processUnknown
	}
	return parseStat(string(stat))
}

// parseStat parses the start and the state of /proc/PID/stat, see proc_pid_stat(5). The
// name before them is in parentheses, and may contain any character.
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
