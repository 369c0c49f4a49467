package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"chefsync/pkg/replication"
)

// The words for what happened. Readers don't trust them.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
	// Begin is the action of a journal's first row. Its path is "/": anything
	// may have changed before.
	Begin = "begin"
)

// Root is the path of everything.
const Root = "/"

// MaxAppend is the most entries of one atomic write. With the head it stays
// below the 100 items of a DynamoDB transaction.
const MaxAppend = 90

// Limits of an entry, in bytes.
const (
	maxPath   = 1024
	maxAction = 32
)

var (
	// ErrNoJournal means that the organization has no journal (yet). Nothing was
	// written.
	ErrNoJournal = errors.New("there is no journal of this organization yet")
	// ErrFenced means that the lease was lost, or that another process wrote the
	// memory. Nothing was written.
	ErrFenced = errors.New("the lease of this journal's scanner was lost")
	// ErrEntry means that an entry can't be stored, or that there are too many. Nothing was
	// written.
	ErrEntry = errors.New("not a journal entry")
)

// LeasedError says that another scanner is at work on a source.
type LeasedError struct {
	Source string
	Lease  replication.Lease
}

// Error names the holder and the end of the lease.
func (e *LeasedError) Error() string {
	return fmt.Sprintf("%s is being scanned by %s until %s", e.Source, e.Lease.Owner, e.Lease.Expires.UTC().Format("15:04:05Z"))
}

// Entry is a change to be noted.
type Entry struct {
	Action string // create, update, delete
	// Path is below the organization, as [replication.Ref.Path] writes it:
	// /roles/web, /cookbooks/apache2/2.0.0, /data/users. A listing, such as
	// /roles, stands for all it holds.
	Path string
}

// Row is an entry that has its place in the journal.
type Row struct {
	ID     int64
	Action string
	Path   string
	Time   time.Time // when it was noted, UTC, to the millisecond
}

// Head says what a journal holds. The zero Head is no journal.
type Head struct {
	Epoch  string
	Oldest int64 // id of the oldest row kept
	Newest int64 // id of the newest row
}

// Page is a run of rows with the head as it was at the same moment.
type Page struct {
	Head Head
	Rows []Row
	// Generation is that of the scanner's memory, 0 when there is none. Scans counts
	// the scans that have begun: it is the fencing token of the scanner's lease.
	Generation int64
	Scans      int64
}

// NewEpoch makes the word of a new journal.
func NewEpoch() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// CheckEntries refuses what no store may take. Stores call it.
func CheckEntries(entries []Entry) error {
	if len(entries) > MaxAppend {
		return fmt.Errorf("%w: %d entries in one write, at most %d are allowed", ErrEntry, len(entries), MaxAppend)
	}
	for _, e := range entries {
		switch {
		case e.Action == "" || len(e.Action) > maxAction || !clean(e.Action):
			return fmt.Errorf("%w: its action is empty, too long or holds control characters", ErrEntry)
		case !strings.HasPrefix(e.Path, "/") || len(e.Path) > maxPath || !clean(e.Path):
			return fmt.Errorf("%w: its path doesn't begin with a slash, is too long or holds control characters", ErrEntry)
		}
	}
	return nil
}

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// Distinct keeps one entry of each path, the last, in the order of the last
// ones.
func Distinct(entries []Entry) []Entry {
	seen := make(map[string]bool, len(entries))
	out := make([]Entry, 0, len(entries))
	for _, e := range slices.Backward(entries) {
		if !seen[e.Path] {
			seen[e.Path] = true
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

// FirstID is the id of the first row of a journal that begins at a time. Next is
// the id that the journal before it would have given out next, 0 without one.
func FirstID(at time.Time, next int64) int64 { return max(at.UnixMilli(), next, 1) }
