package replication

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/object"
)

// Prune says which objects of a replica a full comparison may delete.
type Prune string

// The prune rules. Whatever the rule, an object is deleted only after the
// primary itself answered that it isn't there.
const (
	PruneReplicated Prune = "replicated" // only what replication put there
	PruneAll        Prune = "all"        // anything the primary doesn't have
	PruneNone       Prune = "none"       // nothing, ever
)

// DriftRule says what a scheduled verification does about what others changed on
// the replica.
type DriftRule string

// The drift rules.
const (
	DriftReport DriftRule = "report" // say it, and leave it
	DriftRepair DriftRule = "repair" // put it right, by the prune rule and under the brake
)

// Limit is the most that may be deleted within an hour before the brake holds
// deletions. The zero Limit means 20 %.
type Limit struct {
	Percent float64 // of the objects on the replica; 0 means no such limit
	Count   int     // objects; 0 means no such limit
}

// percentFloor is what a limit in percent always allows, so that ordinary work in
// a small organization isn't held.
const percentFloor = 50

// isUnlimited reports whether the limit is 100 % and nothing else.
func (l Limit) isUnlimited() bool { return l.Percent >= 100 && l.Count == 0 }

// Allows returns how many of size objects may be deleted.
func (l Limit) Allows(size int) int {
	if l == (Limit{}) {
		l.Percent = 20
	}
	if l.Percent <= 0 {
		return l.Count
	}
	allowed := max(int(l.Percent*float64(size)/100), percentFloor)
	if l.Count > 0 {
		allowed = min(allowed, l.Count)
	}
	return allowed
}

// String writes the limit as the configuration does.
func (l Limit) String() string {
	var parts []string
	if l.Percent > 0 || l.Count == 0 {
		p := l.Percent
		if p == 0 {
			p = 20
		}
		parts = append(parts, strconv.FormatFloat(p, 'f', -1, 64)+"%")
	}
	if l.Count > 0 {
		parts = append(parts, strconv.Itoa(l.Count))
	}
	return strings.Join(parts, ",")
}

// ParseLimit reads "20%", "50" or "20%,50".
func ParseLimit(s string) (Limit, error) {
	var l Limit
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if p, ok := strings.CutSuffix(part, "%"); ok {
			v, err := strconv.ParseFloat(p, 64)
			if err != nil || !(v > 0 && v <= 100) || l.Percent != 0 {
				return Limit{}, fmt.Errorf(`%q is not a delete limit: expected "20%%", "50" or "20%%,50"`, s)
			}
			l.Percent = v
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n <= 0 || l.Count != 0 {
			return Limit{}, fmt.Errorf(`%q is not a delete limit: expected "20%%", "50" or "20%%,50"`, s)
		}
		l.Count = n
	}
	return l, nil
}

// Pair is what the engine must know of a pair.
type Pair struct {
	ID        PairID
	SourceOrg string
	// Space names the source organization in the stage, equal for all pairs that
	// read the same one.
	Space     string
	Kinds     []object.Kind // nil means DefaultKinds
	Selection Selection     // narrows the kinds by name
	Prune     Prune         // "" means PruneReplicated
	MaxDelete Limit
	Drift     DriftRule // "" means DriftReport
	NoUndo    bool      // what runs replace on the replica isn't kept
	// Interval is the time between polls; CompareEvery the time between full
	// comparisons of a primary that has no feed. Both sides are read whole by a compare
	// every ReconcileEvery, and by a verification every VerifyEvery, 0 for never; what
	// one has read the other doesn't.
	Interval       time.Duration
	CompareEvery   time.Duration
	ReconcileEvery time.Duration
	VerifyEvery    time.Duration
	// FilesEvery is the time in which a schedule checks the content of all cookbook
	// files of the replica, 0 for never.
	FilesEvery time.Duration
	// Concurrency bounds the requests in flight to each server; 0 means 4.
	Concurrency int
}

// Includes reports whether objects of a kind may belong to the pair. Bags and items
// go together. A kind that isn't replicated never does.
func (p Pair) Includes(k object.Kind) bool {
	kinds := p.Kinds
	if len(kinds) == 0 {
		kinds = object.DefaultKinds()
	}
	return slices.Contains(object.Kinds(), k) && p.Selection.Reaches(object.Scope{Kind: k}) &&
		slices.ContainsFunc(kinds, func(x object.Kind) bool { return x.Base() == k.Base() })
}

// Manages reports whether an object belongs to the pair, so that replication may
// read, write or delete it.
func (p Pair) Manages(r object.Ref) bool {
	return p.Includes(r.Kind) && p.Selection.Selects(r) && !r.IsReserved()
}

// includesScope reports whether a scope may hold objects of the pair.
func (p Pair) includesScope(s object.Scope) bool {
	return s.Kind == "" || p.Includes(s.Kind) && p.Selection.Reaches(s)
}

// concernsChange reports whether a change may have touched objects of the pair. One of a
// policy touches the groups that the policy is in.
func (p Pair) concernsChange(c Change) bool {
	groups := c.Scope.Kind.BoundBy()
	return p.includesScope(c.Scope) || groups != "" && p.Includes(groups)
}

// selectRefs returns those that belong to the pair.
func (p Pair) selectRefs(refs []object.Ref) []object.Ref {
	return slices.DeleteFunc(slices.Clone(refs), func(r object.Ref) bool { return !p.Manages(r) })
}

// selectionMark is a mark of what belongs to the pair: "" for all objects of the
// default kinds, and another one whenever kinds or patterns change.
func (p Pair) selectionMark() string {
	var lines []string
	for _, k := range object.Kinds() {
		if k == k.Base() && (Pair{Kinds: p.Kinds}).Includes(k) {
			lines = append(lines, k.ConfigName())
		}
	}
	byDefault := slices.Equal(lines, []string{"data_bags", "roles", "cookbooks", "environments"})
	if byDefault && p.Selection.selectsAll() {
		return ""
	}
	for _, x := range p.Selection.Include {
		lines = append(lines, "+"+x.String())
	}
	for _, x := range p.Selection.Exclude {
		lines = append(lines, "-"+x.String())
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(lines), "\n")))
	return hex.EncodeToString(sum[:8])
}

// mixedSelection marks that a repair may have recorded objects that belong to the pair by
// another selection than that of its last full comparison. The next pass compares everything.
const mixedSelection = "mixed"

func (p Pair) maxWorkers() int {
	if p.Concurrency <= 0 {
		return 4
	}
	return p.Concurrency
}

func (p Pair) pruneRule() Prune {
	if p.Prune == "" {
		return PruneReplicated
	}
	return p.Prune
}
