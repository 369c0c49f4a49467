package replication

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/object"
)

// A deletion counts against the limit for brakeWindow, and for brakeSpan more at most:
// deletions are counted by spans, since a record for each would be large. The names of up
// to brakeNames objects are recorded too, so that in a small organization an object that is
// deleted, created and deleted again counts once.
const (
	brakeWindow = time.Hour
	brakeSpan   = 10 * time.Minute
	brakeSpans  = int(brakeWindow/brakeSpan) + 1
	brakeNames  = 200
)

// Deletions counts what was deleted from a replica lately.
type Deletions struct {
	Since time.Time       `json:"since"`           // when the newest span began
	Spans []DeletionCount `json:"spans,omitempty"` // the newest first
}

// DeletionCount counts the deletions of a span, by kind.
type DeletionCount struct {
	Deleted map[object.Kind]int `json:"deleted,omitempty"`
	// Most is the most objects that there were at once.
	Most map[object.Kind]int `json:"most,omitempty"`
	// Objects lists the deleted objects, up to brakeNames in all spans.
	Objects []object.Ref `json:"objects,omitempty"`
}

// countingAt returns the deletions that count at a time.
func (d *Deletions) countingAt(now time.Time) Deletions {
	if d == nil {
		return Deletions{Since: now}
	}
	passed := int(now.Sub(d.Since) / brakeSpan)
	if now.Before(d.Since) { // recorded by a clock that was ahead
		return Deletions{Since: now, Spans: d.Spans}
	}
	spans := d.Spans[:max(0, min(len(d.Spans), brakeSpans-passed))]
	if len(spans) == 0 {
		return Deletions{Since: now}
	}
	return Deletions{Since: d.Since.Add(time.Duration(passed) * brakeSpan), Spans: append(make([]DeletionCount, passed), spans...)}
}

// addOne returns d with the deletion of an object, of a kind that had n objects before. One
// that was deleted before counts from now on.
func (d Deletions) addOne(r object.Ref, had int) *Deletions {
	d.Spans = slices.Clone(d.Spans)
	if len(d.Spans) == 0 {
		d.Spans = make([]DeletionCount, 1)
	}
	names := 0
	for i, s := range d.Spans {
		if at := slices.Index(s.Objects, r); at >= 0 {
			d.Spans[i] = s.clone()
			d.Spans[i].Objects = slices.Delete(d.Spans[i].Objects, at, at+1)
			d.Spans[i].Deleted[r.Kind]--
		}
		names += len(d.Spans[i].Objects)
	}
	newest := d.Spans[0].clone()
	newest.Deleted[r.Kind]++
	newest.Most[r.Kind] = max(newest.Most[r.Kind], had)
	if names < brakeNames {
		newest.Objects = append(newest.Objects, r)
	}
	d.Spans[0] = newest
	return &d
}

// clone returns a copy that can be changed.
func (c DeletionCount) clone() DeletionCount {
	n := DeletionCount{Deleted: map[object.Kind]int{}, Most: map[object.Kind]int{}, Objects: slices.Clone(c.Objects)}
	maps.Copy(n.Deleted, c.Deleted)
	maps.Copy(n.Most, c.Most)
	return n
}

// totals returns how many deletions count, without those of objects that are due to be
// deleted again, and the most objects that there were at once, by kind.
func (d Deletions) totals(due func(object.Ref) bool) (deleted, most map[object.Kind]int) {
	deleted, most = map[object.Kind]int{}, map[object.Kind]int{}
	for _, s := range d.Spans {
		for k, n := range s.Deleted {
			deleted[k] += n
		}
		for _, r := range s.Objects {
			if due(r) {
				deleted[r.Kind]--
			}
		}
		for k, n := range s.Most {
			most[k] = max(most[k], n)
		}
	}
	return deleted, most
}

// The brake holds when a kind that had at least emptiedFloor objects would become
// empty, and when more than half of a kind that had at least halfFloor would go.
const (
	emptiedFloor = 3
	halfFloor    = 10
)

// Brake decides whether deletions must wait for approval.
type Brake struct {
	Objects map[object.Kind]int // on the replica now, those about to be deleted included
	Creates map[object.Kind]int // about to be created
	Deletes map[object.Kind]int // about to be deleted, or waiting for approval
	Deleted map[object.Kind]int // within the hour before
	// Most is the most objects that there were at once within that hour. It isn't
	// what there is and what was deleted together: the same object may come and go.
	Most map[object.Kind]int
	// FailedListing says that a listing of the primary failed.
	FailedListing bool
	Limit         Limit
	Allowance     int // deletions that the operator allowed
}

// Check returns why the deletions must wait, or "". It is asked before anything is
// deleted.
func (b Brake) Check() string {
	n := sumCounts(b.Deletes)
	reason := b.holdReason(n)
	switch {
	case n == 0 || n <= b.Allowance:
		return ""
	case reason != "" && b.Allowance > 0:
		return fmt.Sprintf("%s; the approval was for %d", reason, b.Allowance)
	}
	return reason
}

func (b Brake) holdReason(n int) string {
	had := 0
	for _, k := range object.Kinds() {
		had += b.peakObjects(k)
	}
	left := sumCounts(b.Objects) + sumCounts(b.Creates) - n
	switch {
	case b.FailedListing:
		return countNoun(n, "deletion is", "deletions are") + " due, but not all listings of the primary could be read"
	case left <= 0 && had == 1:
		return "the only object of the organization would be deleted"
	case left <= 0:
		return fmt.Sprintf("all %d objects of the organization would be deleted", had)
	case b.Limit.isUnlimited():
		return ""
	}
	for _, k := range object.Kinds() {
		if reason := b.kindReason(k); reason != "" {
			return reason
		}
	}
	gone := n + sumCounts(b.Deleted)
	if allowed := b.Limit.Allows(had); gone > allowed {
		return fmt.Sprintf("%d of %d objects would be deleted within an hour; the limit is %s, here %d", gone, had, b.Limit, allowed)
	}
	return ""
}

// peakObjects is how many objects of a kind the share is of.
func (b Brake) peakObjects(k object.Kind) int { return max(b.Objects[k], b.Most[k]) }

// kindReason checks one kind, whatever the share of all objects.
func (b Brake) kindReason(k object.Kind) string {
	had, gone := b.peakObjects(k), b.Deletes[k]+b.Deleted[k]
	switch {
	case b.Deletes[k] == 0:
		return ""
	case had >= emptiedFloor && b.Objects[k]+b.Creates[k] <= b.Deletes[k]:
		return fmt.Sprintf("all %d %s would be deleted within an hour", had, pluralOf(k))
	case had >= halfFloor && 2*gone > had:
		return fmt.Sprintf("%d of %d %s would be deleted within an hour", gone, had, pluralOf(k))
	}
	return ""
}

func sumCounts(of map[object.Kind]int) (n int) {
	for _, x := range of {
		n += x
	}
	return n
}

func countNoun(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// pluralOf returns the words for several objects of a kind, such as "data bag items".
func pluralOf(k object.Kind) string {
	word := k.Collection()
	if k.Base() == object.DataBag {
		word = string(k) + "s"
	}
	return strings.ReplaceAll(word, "_", " ")
}
