package assembly

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"chefsync/pkg/replication"
)

// NewOwner returns a unique name of this process for leases: host:pid:random, followed,
// where they are known, by the PID space and the start of the process for OwnerDied.
func NewOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name := fmt.Sprintf("%s:%d:%s", host, os.Getpid(), strings.ToLower(rand.Text()[:6]))
	start, state := processStart(os.Getpid())
	if space := pidSpace(); space != "" && state == processRuns {
		name += ":" + space + ":" + start
	}
	return name
}

// OwnerDied reports whether the process that an owner names is known to be dead: it ran
// in the PID space of this process, which is that of one boot of one machine and, with
// containers, of one of them, and no process of that id and start exists any more.
//
// It must not be used for processes of machines that may be clones of this one, such as
// functions on AWS.
func OwnerDied(owner string) bool {
	fields := strings.Split(owner, ":")
	if len(fields) < 5 {
		return false
	}
	fields = fields[len(fields)-4:] // a host may have colons
	pid, err := strconv.Atoi(fields[0])
	space := pidSpace()
	if err != nil || pid <= 0 || space == "" || fields[2] != space {
		return false
	}
	start, state := processStart(pid)
	return state == processGone || state == processRuns && start != fields[3]
}

// FreeAbandoned releases the lease of a pair if it is abandoned, so that other processes
// see it free, and returns the record of the pair.
func (f *Fleet) FreeAbandoned(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	state, err := f.State(ctx)
	if err != nil {
		return replication.PairState{}, err
	}
	st, err := state.Pair(ctx, id)
	if err != nil || !f.Abandoned(st.Lease) {
		return st, err
	}
	if err := state.Release(ctx, id, st.Lease.Fence); err != nil {
		return st, err
	}
	return state.Pair(ctx, id)
}

// Abandoned reports whether a lease that hasn't ended is held by no process.
func (f *Fleet) Abandoned(l replication.Lease) bool {
	return l.Abandoned(f.Now(), replication.DefaultLeaseTTL, f.OwnerDied)
}

// processState is what is known of a process.
type processState int

const (
	processUnknown processState = iota
	processRuns
	processGone
)

// shortHash returns a hash of facts that is short enough for an owner.
func shortHash(facts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(facts, "\n")))
	return hex.EncodeToString(sum[:6])
}
