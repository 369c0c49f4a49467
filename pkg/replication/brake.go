package replication

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// brakeWindow is how long a deletion counts against the limit.
const brakeWindow = time.Hour

// Deletions counts what was deleted from a replica within an hour that began with
// the first of them.
type Deletions struct {
	Since  time.Time    `json:"since"`
	Counts map[Kind]int `json:"counts,omitempty"`
	// Most is the most objects that there were at once.
	Most map[Kind]int `json:"most,omitempty"`
}

// at returns the deletions that count at a time. After an hour a new one begins.
func (d *Deletions) at(now time.Time) Deletions {
	switch {
	case d == nil || now.Sub(d.Since) >= brakeWindow:
		return Deletions{Since: now}
	case now.Before(d.Since): // recorded by a clock that was ahead
		return Deletions{Since: now, Counts: d.Counts, Most: d.Most}
	}
	return *d
}

// plus returns d with one more deletion, of a kind that had so many objects before.
func (d Deletions) plus(k Kind, had int) *Deletions {
	d.Counts, d.Most = maps.Clone(d.Counts), maps.Clone(d.Most)
	if d.Counts == nil {
		d.Counts, d.Most = map[Kind]int{}, map[Kind]int{}
	}
	d.Counts[k]++
	d.Most[k] = max(d.Most[k], had)
	return &d
}

// The brake holds when a kind that had at least emptiedFloor objects would become
// empty, and when more than half of a kind that had at least halfFloor would go.
const (
	emptiedFloor = 3
	halfFloor    = 10
)

// Brake decides whether deletions must wait for approval.
type Brake struct {
	Objects map[Kind]int // on the replica now, those about to be deleted included
	Creates map[Kind]int // about to be created
	Deletes map[Kind]int // about to be deleted, or waiting for approval
	Deleted map[Kind]int // within the hour before
	// Most is the most objects that there were at once within that hour. It isn't
	// what there is and what was deleted together: the same object may come and go.
	Most map[Kind]int
	// FailedListing says that a listing of the primary failed.
	FailedListing bool
	Limit         Limit
	Allowance     int // deletions that the operator allowed
}

// Check returns why the deletions must wait, or "". It is asked before anything is
// deleted.
func (b Brake) Check() string {
	n := count(b.Deletes)
	reason := b.reason(n)
	switch {
	case n == 0 || n <= b.Allowance:
		return ""
	case reason != "" && b.Allowance > 0:
		return fmt.Sprintf("%s; the approval was for %d", reason, b.Allowance)
	}
	return reason
}

func (b Brake) reason(n int) string {
	had := 0
	for _, k := range Kinds() {
		had += b.had(k)
	}
	left := count(b.Objects) + count(b.Creates) - n
	switch {
	case b.FailedListing:
		return plural(n, "deletion is", "deletions are") + " due, but not all listings of the primary could be read"
	case left <= 0 && had == 1:
		return "the only object of the organization would be deleted"
	case left <= 0:
		return fmt.Sprintf("all %d objects of the organization would be deleted", had)
	case b.Limit.unlimited():
		return ""
	}
	for _, k := range Kinds() {
		if reason := b.kindReason(k); reason != "" {
			return reason
		}
	}
	gone := n + count(b.Deleted)
	if allowed := b.Limit.Allows(had); gone > allowed {
		return fmt.Sprintf("%d of %d objects would be deleted within an hour; the limit is %s, here %d", gone, had, b.Limit, allowed)
	}
	return ""
}

// had is how many objects of a kind the share is of.
func (b Brake) had(k Kind) int { return max(b.Objects[k], b.Most[k]) }

// kindReason checks one kind, whatever the share of all objects.
func (b Brake) kindReason(k Kind) string {
	had, gone := b.had(k), b.Deletes[k]+b.Deleted[k]
	switch {
	case b.Deletes[k] == 0:
		return ""
	case had >= emptiedFloor && b.Objects[k]+b.Creates[k] <= b.Deletes[k]:
		return fmt.Sprintf("all %d %s would be deleted within an hour", had, k.plural())
	case had >= halfFloor && 2*gone > had:
		return fmt.Sprintf("%d of %d %s would be deleted within an hour", gone, had, k.plural())
	}
	return ""
}

func count(of map[Kind]int) (n int) {
	for _, x := range of {
		n += x
	}
	return n
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// plural is the kind's word for several objects.
func (k Kind) plural() string {
	word := k.collection()
	if k.family() == DataBag {
		word = string(k) + "s"
	}
	return strings.ReplaceAll(word, "_", " ")
}
