//go:build !unix

package runtimetest

import (
	"os"
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return nil }

func freeze(*os.Process) {}

func thaw(*os.Process) {}

func cpuTime(int) time.Duration { return 0 }

func peakRSS(int) int64 { return 0 }
