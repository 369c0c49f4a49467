package replication

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// PairID names a pair: the replica and the destination organization on it. A
// destination belongs to one pair only.
type PairID struct {
	Replica string
	Org     string
}

// String is REPLICA/ORG.
func (p PairID) String() string { return p.Replica + "/" + p.Org }

// ParsePairID reads REPLICA/ORG.
func ParsePairID(s string) (PairID, error) {
	replica, org, ok := strings.Cut(s, "/")
	if !ok || replica == "" || org == "" || strings.Contains(org, "/") {
		return PairID{}, fmt.Errorf("%q is not a pair: expected REPLICA/ORGANIZATION", s)
	}
	return PairID{Replica: replica, Org: org}, nil
}

// MarshalText writes REPLICA/ORG.
func (p PairID) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads REPLICA/ORG.
func (p *PairID) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePairID(string(b))
	return err
}

// Status is one word for how a pair does. It follows from recorded facts only.
type Status string

// The status words.
const (
	Bootstrapping Status = "bootstrapping" // the first full comparison is under way
	Synced        Status = "synced"        // all known changes applied at LastSuccess
	Syncing       Status = "syncing"       // a pass is running, or left work behind
	Retrying      Status = "retrying"      // a server is failing; retried automatically
	Blocked       Status = "blocked"       // needs an operator; tried again slowly
	Held          Status = "held"          // deletions wait for approval; all else is applied
	Stopped       Status = "stopped"       // the operator stopped it
)

// SchemaVersion is the version of the records that this program writes. It
// refuses records of a newer one. A field that is added needs no new version: an
// older program overlooks it (see DecodeRecord), as a newer one must manage with
// records that lack it. What an older program must not overlook, or would read
// otherwise, needs one, and can't be rolled back.
const SchemaVersion = 1

// PairState is the record of a pair.
type PairState struct {
	ID       PairID   `json:"pair"`
	Desired  Desired  `json:"desired"`
	Progress Progress `json:"progress"`
	Lease    Lease    `json:"lease"`
}

// Status is the pair's status word: what the operator wants goes first.
func (p PairState) Status() Status {
	switch {
	case p.Desired.Stopped:
		return Stopped
	case p.Progress.Status == "":
		return Bootstrapping
	}
	return p.Progress.Status
}

// ReasonImported is the reason of a pair that is stopped since its records were imported.
const ReasonImported = "imported"

// Desired is what the operator wants. Only State.ChangeDesired writes it.
type Desired struct {
	Stopped      bool      `json:"stopped,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Since        time.Time `json:"since,omitzero"`
	Moved        string    `json:"moved,omitempty"` // where another state has the pair now; it is stopped here
	AllowDeletes int       `json:"allow_deletes,omitempty"`
	AllowedAt    time.Time `json:"allowed_at,omitzero"`
	// PrimaryAcceptedAt is when the operator accepted that the primary is another
	// organization than before.
	PrimaryAcceptedAt time.Time `json:"primary_accepted_at,omitzero"`
	ResyncAt          time.Time `json:"resync_at,omitzero"`
	// ResyncObjects are to be compared on both sides, once, as asked for at
	// ResyncObjectsAt; ResyncAt asks for everything.
	ResyncObjectsAt time.Time    `json:"resync_objects_at,omitzero"`
	ResyncObjects   []object.Ref `json:"resync_objects,omitempty"`
	RetryAt         time.Time    `json:"retry_at,omitzero"`
	RetryOnly       []object.Ref `json:"retry_only,omitempty"` // none means all
	// PruneAt is the ResyncAt of a compare that is to delete whatever the primary
	// doesn't have.
	PruneAt time.Time    `json:"prune_at,omitzero"`
	Newer   NewerMembers `json:"-"`
}

// With returns d with a change. State implementations use it.
func (d Desired) With(x DesiredChange) Desired {
	if x.Stop != nil {
		if d.Stopped != *x.Stop {
			d.Since = x.At
		}
		d.Stopped = *x.Stop
	}
	if x.Reason != nil {
		d.Reason = *x.Reason
	}
	if x.Moved != nil {
		d.Moved = *x.Moved
	}
	if x.AllowDeletes != nil {
		d.AllowDeletes, d.AllowedAt = *x.AllowDeletes, x.At
	}
	if x.AcceptPrimary {
		d.PrimaryAcceptedAt = x.At
	}
	if x.Resync != nil {
		d.ResyncAt = *x.Resync
		if x.Prune {
			d.PruneAt = *x.Resync
		}
	}
	if x.ResyncObjectsAt != nil {
		d.ResyncObjectsAt, d.ResyncObjects = *x.ResyncObjectsAt, slices.Clone(x.ResyncObjects)
	}
	if x.Retry != nil {
		d.RetryAt, d.RetryOnly = *x.Retry, slices.Clone(x.RetryOnly)
	}
	return d
}

// Lease is the right to work on a pair. Fence grows by one at each taking and
// is checked by every later state write. A free lease has no owner.
type Lease struct {
	Owner   string    `json:"owner,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Fence   int64     `json:"fence"`
}

// HeldAt reports whether somebody holds the lease at a time.
func (l Lease) HeldAt(now time.Time) bool { return l.Owner != "" && now.Before(l.Expires) }

// Progress is what the engine knows of a pair. Passes replace it whole.
type Progress struct {
	Status        Status       `json:"status,omitempty"`
	Since         time.Time    `json:"since,omitzero"`      // when Status began
	Feed          string       `json:"feed,omitempty"`      // the feed in use
	FeedNote      string       `json:"feed_note,omitempty"` // why that one
	Position      *Position    `json:"position,omitempty"`  // nil before the first full comparison ends
	Work          *Work        `json:"work,omitempty"`      // a pass that isn't finished
	LastAttempt   time.Time    `json:"last_attempt,omitzero"`
	LastSuccess   time.Time    `json:"last_success,omitzero"`
	LastCompare   time.Time    `json:"last_compare,omitzero"`  // start of the last full comparison that ended
	LastVerified  time.Time    `json:"last_verified,omitzero"` // start of the last verification that found both sides equal
	LastCheck     time.Time    `json:"last_check,omitzero"`    // start of the last verification, or compare that read both sides, that ended
	Drift         *Drift       `json:"drift,omitempty"`        // what that found changed on the replica
	Checking      *Checking    `json:"checking,omitempty"`     // a scheduled verification that isn't finished
	Files         *Files       `json:"files,omitempty"`        // the check of the content of the replica's cookbook files
	NextRun       time.Time    `json:"next_run,omitzero"`
	LastError     *Failure     `json:"last_error,omitempty"`
	Failures      int          `json:"failures,omitempty"`      // passes failed in a row
	Objects       int          `json:"objects"`                 // that replication put on the replica
	Pending       int          `json:"pending,omitempty"`       // known to be dirty, not yet done
	Dirty         []object.Ref `json:"dirty,omitempty"`         // objects and listings that a verification found not applied yet
	Unsynced      int          `json:"unsynced,omitempty"`      // unsynced objects, without held deletions
	UnsyncedSince time.Time    `json:"unsynced_since,omitzero"` // when the first of the unsynced objects was first seen
	NextRetry     time.Time    `json:"next_retry,omitzero"`     // of the first unsynced object that is due
	ObjectsAt     time.Time    `json:"objects_at,omitzero"`     // the last Desired.ResyncObjectsAt honored
	RetriedAt     time.Time    `json:"retried_at,omitzero"`     // the last Desired.RetryAt honored
	ResyncedAt    time.Time    `json:"resynced_at,omitzero"`    // the last Desired.ResyncAt that a full comparison began for
	AllowanceUsed time.Time    `json:"allowance_used,omitzero"` // the last Desired.AllowedAt used up
	Hold          *Hold        `json:"hold,omitempty"`
	IdentityAt    time.Time    `json:"identity_at,omitzero"` // when the primary's identity was last checked
	// Identity is the primary's, of a pair without a position.
	Identity  string     `json:"identity,omitempty"`
	Deletions *Deletions `json:"deletions,omitempty"` // what counts against the limit of the brake
	// Replica is the replica's identity as of ReplicaAt. ReplicaNew is since when it is
	// this one, zero if it never was another.
	Replica    string    `json:"replica,omitempty"`
	ReplicaAt  time.Time `json:"replica_at,omitzero"`
	ReplicaNew time.Time `json:"replica_new,omitzero"`
	// Selected marks what belonged to the pair when its last full comparison began.
	// A pair that selects other objects now is compared whole.
	Selected string `json:"selected,omitempty"`
	// ReplicaOnly counts the objects that the first compare found on the replica alone,
	// and that neither replication put there nor somebody has decided about.
	ReplicaOnly int          `json:"replica_only,omitempty"`
	Newer       NewerMembers `json:"-"`
}

// Drift counts what a verification found that others than replication did on the
// replica. The names are in the log, under the run.
type Drift struct {
	At       time.Time `json:"at"`                 // start of the verification
	Run      string    `json:"run"`                // its record
	Changed  int       `json:"changed,omitempty"`  // objects edited there
	Missing  int       `json:"missing,omitempty"`  // objects deleted there
	Extra    int       `json:"extra,omitempty"`    // objects added there, which prune = "all" doesn't keep
	Repaired int       `json:"repaired,omitempty"` // of all of them
}

// Left is how many of the objects were not repaired.
func (d Drift) Left() int { return d.Changed + d.Missing + d.Extra - d.Repaired }

// VerifyDue reports whether a verification is due: never before the first full
// comparison has ended, then at once, then every so often, and some time after one
// that failed. 0 is never. One that is under way stays due; see Checking.UnderWay.
func (p Progress) VerifyDue(every time.Duration, now time.Time) bool {
	if every <= 0 || p.LastCompare.IsZero() {
		return false
	}
	if c := p.Checking; c != nil && ageAt(c.FailedAt, now) < min(every, verifyRetry) {
		return false
	}
	return ageAt(p.LastCheck, now) >= every
}

// Position is how far a pair has come in a feed.
type Position struct {
	// Identity names the primary and its organization, Epoch the sequence of
	// ids where the feed names it. A position of another one means nothing.
	Identity string `json:"identity"`
	Epoch    string `json:"epoch,omitempty"`
	// Seq is the largest change id up to which everything is applied or
	// recorded as unsynced.
	Seq int64 `json:"seq"`
	// Marks are short hashes of the newest rows handled, by id. A feed that shows
	// other rows under these ids isn't the one that was read before.
	Marks map[int64]string `json:"marks,omitempty"`
	// Seen are the ids at or below Seq, within the overlap, that were handled.
	// Ids below Seq that turn up later and aren't here became visible late.
	Seen []int64 `json:"seen,omitempty"`
	// Snapshot says how the ledger compares with the snapshot beside the rows.
	Snapshot SnapshotMark `json:"snapshot,omitzero"`
}

// Work is a pass that isn't finished.
type Work struct {
	Full    bool      `json:"full,omitempty"` // a full comparison
	Deep    bool      `json:"deep,omitempty"` // false for one of an older version that doesn't read the replica's objects
	Reason  string    `json:"reason,omitempty"`
	Started time.Time `json:"started"`
	// Upto is where the position goes when the work is done. A full comparison took
	// it before it began. Nil when the primary has no feed.
	Upto *Position `json:"upto,omitempty"`
	// After is the last object done, in the order of application: objects up to
	// it are recorded for all changes up to Upto.
	After string `json:"after,omitempty"`
	// Intent names the objects that may have been written to the replica, or
	// deleted from it, without having been recorded. The ledger isn't trusted
	// about them.
	Intent []object.Ref `json:"intent,omitempty"`
	// Deletes tells that the Intent is to delete: it makes no object one that
	// replication put there.
	Deletes bool `json:"deletes,omitempty"`
	// Crashes counts the passes in a row that died while working on an Intent. A pass that
	// leaves one behind and ends cleanly takes one off, which the next one adds.
	Crashes int `json:"crashes,omitempty"`
	// Drift is what a comparison has found so far of what others changed on the replica.
	// Nil for one that repairs whatever differs, whatever the drift rule.
	Drift *Drift `json:"drift,omitempty"`
	// Prune says that it deletes whatever the primary doesn't have.
	Prune bool `json:"prune,omitempty"`
	// Wrote says that something was written to the replica: it wasn't equal.
	Wrote bool `json:"wrote,omitempty"`
}

// Failure is an error as recorded.
type Failure struct {
	At      time.Time   `json:"at"`
	Class   fault.Class `json:"class"`
	Message string      `json:"message"`
	Hint    string      `json:"hint,omitempty"`
}

// Hold says why deletions wait for approval. Creations and updates go on, unless
// the primary is another organization than before.
type Hold struct {
	At      time.Time    `json:"at"`
	Reason  string       `json:"reason"`
	Deletes int          `json:"deletes"`           // all that wait
	Records int          `json:"records,omitempty"` // of which each has a record among the unsynced objects
	Sample  []object.Ref `json:"sample,omitempty"`  // some of them
	// Primary is the identity of the primary if that is another organization than
	// before. Nothing at all is replicated until it is accepted.
	Primary string `json:"primary,omitempty"`
	// Prune says that a resync was asked to prune, which goes on once it is approved.
	Prune bool `json:"prune,omitempty"`
	// LastAnswer is when the operator had last answered a hold when this one began; if never,
	// it is when this one began. An answer of another time is a newer one, as far as clocks
	// may differ. Holds of earlier versions don't say: only what is later is an answer.
	LastAnswer time.Time `json:"last_answer,omitzero"`
	// Rule is the prune rule by which the deletions are due.
	Rule Prune `json:"prune_rule,omitempty"`
}

// primaryIdentity is that of the primary that the records belong to, or "".
func (p Progress) primaryIdentity() string {
	if p.Position != nil {
		return p.Position.Identity
	}
	return p.Identity
}

// Unsynced is an object that could not be applied, one whose deletion waits for approval,
// or a listing that failed.
type Unsynced struct {
	// Ref is the object, or the scope of a listing: Ref.IsListing tells them apart.
	Ref       object.Ref  `json:"object"`
	Class     fault.Class `json:"class"`
	Reason    string      `json:"reason"`
	Hint      string      `json:"hint,omitempty"`
	Attempts  int         `json:"attempts"`
	FirstSeen time.Time   `json:"first_seen"`
	LastTry   time.Time   `json:"last_try"`
	NextTry   time.Time   `json:"next_try,omitzero"` // zero for what no time makes due: held deletions
	ChangeID  int64       `json:"change_id,omitempty"`
	Items     int         `json:"items,omitempty"` // of a held bag: items that would go with it
}

// Run is the record of one pass or verification.
type Run struct {
	ID      string    `json:"run"` // sorts by time
	Pair    PairID    `json:"pair"`
	Trigger Trigger   `json:"trigger"`
	Mode    Mode      `json:"mode"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Seen    time.Time `json:"seen,omitzero"` // while it is running: when it last recorded something
	From    int64     `json:"from"`          // position before
	To      int64     `json:"to"`            // position after
	Counts  Counts    `json:"counts"`
	// Left is how many unsynced objects were left by a pass that did all it could.
	// Such a run is partial.
	Left    int      `json:"left,omitempty"`
	Outcome Outcome  `json:"outcome"`
	Error   *Failure `json:"error,omitempty"`
}

// Counts is what a pass did.
type Counts struct {
	Changes  int   `json:"changes"`  // rows read
	Observed int   `json:"observed"` // objects read from the primary
	Equal    int   `json:"equal"`
	Created  int   `json:"created"`
	Updated  int   `json:"updated"`
	Deleted  int   `json:"deleted"`
	Unsynced int   `json:"unsynced"`
	Held     int   `json:"held,omitempty"`  // deletions that were held; a bag is one
	Drift    int   `json:"drift,omitempty"` // objects that others changed on the replica
	Files    int   `json:"files,omitempty"` // contents of cookbook files checked on the replica
	Staged   int64 `json:"staged_bytes"`    // read from the primary
	Uploaded int64 `json:"uploaded_bytes"`  // sent to the replica
}
