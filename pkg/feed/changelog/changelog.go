package changelog

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
)

// The actions of rows. Readers don't rely on them.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
	// Begin is the action of a change log's first row. Its path is [Root]: anything may
	// have changed before it.
	Begin = "begin"
)

// Root is the path that stands for the whole organization.
const Root = "/"

// MaxAppend is the maximum number of changes in one atomic write. With the head they fit
// into a DynamoDB transaction of 100 items.
const MaxAppend = 90

// Limits of a change, in bytes.
const (
	maxPath   = 1024
	maxAction = 32
)

var (
	// ErrNoChangeLog means that the organization has no change log yet. Nothing was written.
	ErrNoChangeLog = errors.New("there is no change log of this organization yet")
	// ErrInvalidChange means that a change is invalid, or that there are too many in one
	// write. Nothing was written.
	ErrInvalidChange = errors.New("not a valid change")
)

// Change is what is appended to a change log.
type Change struct {
	Action string // create, update, delete
	// Path is below the organization, as [replication.Ref.Path] writes it:
	// /roles/web, /cookbooks/apache2/2.0.0, /data/users. A list, such as /roles,
	// stands for all objects in it.
	Path string
}

// Row is a change in a change log.
type Row struct {
	ID     int64
	Action string
	Path   string
	Time   time.Time // when it was appended, UTC, in milliseconds
}

// Head is the epoch and the range of rows of a change log. The zero Head means no change log.
type Head struct {
	Epoch  string
	Oldest int64 // id of the oldest row kept
	Newest int64 // id of the newest row
}

// Page is a range of rows with the head as of the same read.
type Page struct {
	Head Head
	Rows []Row
	// Generation is the generation of the snapshot, 0 if there is none. Scans is
	// the number of scans that have begun: the fencing token of the scanner's lease.
	Generation int64
	Scans      int64
}

// NewEpoch returns a random epoch for a new change log.
func NewEpoch() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// CheckChanges returns an error that wraps ErrInvalidChange for changes that stores must refuse.
// Stores call it.
func CheckChanges(changes []Change) error {
	if len(changes) > MaxAppend {
		return fmt.Errorf("%w: %d changes in one write, at most %d are allowed", ErrInvalidChange, len(changes), MaxAppend)
	}
	for _, e := range changes {
		switch {
		case e.Action == "" || len(e.Action) > maxAction || !isPrintable(e.Action):
			return fmt.Errorf("%w: its action is empty, too long or holds control characters", ErrInvalidChange)
		case !strings.HasPrefix(e.Path, "/") || len(e.Path) > maxPath || !isPrintable(e.Path):
			return fmt.Errorf("%w: its path doesn't begin with a slash, is too long or holds control characters", ErrInvalidChange)
		}
	}
	return nil
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// LastPerPath returns the last change of each path, in their order.
func LastPerPath(changes []Change) []Change {
	seen := make(map[string]bool, len(changes))
	out := make([]Change, 0, len(changes))
	for _, e := range slices.Backward(changes) {
		if !seen[e.Path] {
			seen[e.Path] = true
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

// FirstID returns the id of the first row of a change log that begins at a time. Next is the
// next id of the previous change log, 0 if there was none.
func FirstID(at time.Time, next int64) int64 { return max(at.UnixMilli(), next, 1) }
