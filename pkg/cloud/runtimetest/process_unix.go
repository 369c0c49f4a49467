//go:build unix && !linux

package runtimetest

import (
	"os"
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return nil }

func freeze(p *os.Process) { _ = p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) { _ = p.Signal(syscall.SIGCONT) }

func cpuTime(int) time.Duration { return 0 }

func peakRSS(int) int64 { return 0 }
