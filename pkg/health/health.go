// Package health defines the records of which servers answer and which processes run,
// so that every command can report it without asking them.
package health

import (
	"context"
	"time"
)

// Server is the last known state of a Chef Server.
type Server struct {
	Name      string        `json:"name"`                // as the configuration names it
	CheckedAt time.Time     `json:"checked_at,omitzero"` // the newest request that ended, whatever its result
	UpAt      time.Time     `json:"up_at,omitzero"`      // the newest request that the server answered
	DownSince time.Time     `json:"down_since,omitzero"` // the first failure after UpAt; zero while the server is up
	Error     string        `json:"error,omitempty"`     // why the newest request failed
	Hint      string        `json:"hint,omitempty"`
	Latency   time.Duration `json:"latency,omitempty"` // of the newest answer
}

// Down reports whether the newest request to the server failed.
func (s Server) Down() bool { return !s.DownSince.IsZero() }

// The roles of processes.
const (
	RoleDaemon  = "daemon"  // chef-sync-ctl run
	RoleManager = "manager" // the function that manages a stack
)

// Process is the heartbeat of a process that replicates.
type Process struct {
	Role           string    `json:"role"`
	Owner          string    `json:"owner"` // as it names itself in leases
	Host           string    `json:"host,omitempty"`
	PID            int       `json:"pid,omitempty"`
	Started        time.Time `json:"started,omitzero"`
	Seen           time.Time `json:"seen,omitzero"`    // the newest heartbeat
	Stopped        time.Time `json:"stopped,omitzero"` // when it ended regularly
	Pairs          int       `json:"pairs,omitempty"`
	Version        string    `json:"version,omitempty"`
	Config         string    `json:"config,omitempty"`         // the file that it read
	ConfigModified time.Time `json:"config_modified,omitzero"` // of that file, when it was read
}

// KeepProcesses is how long the record of a process is kept after it was last seen.
const KeepProcesses = 30 * 24 * time.Hour

// Store keeps one record for each server and process. The last writer wins: the
// records are observations, and nothing is decided by them alone.
type Store interface {
	// SaveServer replaces the record of the server.
	SaveServer(ctx context.Context, s Server) error
	// Servers returns all records, sorted by name.
	Servers(ctx context.Context) ([]Server, error)
	// SaveProcess replaces the record of the process, by its role and owner.
	SaveProcess(ctx context.Context, p Process) error
	// Processes returns the records of processes, sorted by role and the newest
	// heartbeat first. Those older than KeepProcesses may be missing.
	Processes(ctx context.Context) ([]Process, error)
}

// Compare orders processes as Processes returns them.
func Compare(a, b Process) int {
	if a.Role != b.Role {
		if a.Role < b.Role {
			return -1
		}
		return 1
	}
	return b.Seen.Compare(a.Seen)
}
