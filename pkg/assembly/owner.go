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

// NewOwner names this process in leases: host:pid:random for people, and apart from
// all others; followed, where they can be known, by the space that the process id
// belongs to and the start of the process, for OwnerDied.
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

// OwnerDied reports whether the process that an owner names is known to be dead: its
// id belonged to the process ids that this process sees, which are those of one boot
// of one machine and, with containers, of one of them, and no process of that id and
// start is there any more.
//
// It must not be asked about processes of other machines that may be clones of this
// one, such as functions on AWS.
func OwnerDied(owner string) bool {
	words := strings.Split(owner, ":")
	if len(words) < 5 {
		return false
	}
	words = words[len(words)-4:] // a host may have colons
	pid, err := strconv.Atoi(words[0])
	space := pidSpace()
	if err != nil || pid <= 0 || space == "" || words[2] != space {
		return false
	}
	start, state := processStart(pid)
	return state == processGone || state == processRuns && start != words[3]
}

// FreeAbandoned returns the record of a pair after releasing its lease if it is
// abandoned. Others see a lease that is free.
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

// Abandoned reports whether nobody holds a lease that hasn't ended.
func (f *Fleet) Abandoned(l replication.Lease) bool {
	return l.Abandoned(f.Now(), replication.DefaultLeaseTTL, f.ownerDied)
}

// processState is what is known of a process.
type processState int

const (
	processUnknown processState = iota
	processRuns
	processGone
)

// shortHash is a mark of some facts, short enough for an owner.
func shortHash(facts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(facts, "\n")))
	return hex.EncodeToString(sum[:6])
}
