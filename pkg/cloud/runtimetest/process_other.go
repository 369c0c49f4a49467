//go:build !linux

package runtimetest

import (
	"os"
	"syscall"
	"time"
)

func processAttributes() *syscall.SysProcAttr { return nil }

func freezeProcess(*os.Process) {}

func thawProcess(*os.Process) {}

func processCPUTime(int) time.Duration { return 0 }

func processPeakRSS(int) int64 { return 0 }
