package dynamostate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// journalSchema is the version of the records of journals that this program
// writes.
const journalSchema = 1

// Journals are the journals in a table, with what their scanners remember. They
// are safe for concurrent use, by any number of processes.
//
// What operations cost when all goes well, in requests. All reads are strongly
// consistent: a head that lags behind would make a reader's position look lost,
// and send it to a full compare.
//
//   - Rows: one Query when it reaches the end of the journal, as a poll does, for
//     one read unit for each 4 KB of head and rows: about 35 rows of pushes, or
//     far more that were written together. An empty poll, which reads the
//     last eight rows again, takes one. Else one Query for each MB, and
//     one GetItem.
//   - Head: one GetItem.
//   - Append: one GetItem and one TransactWriteItems of two items, however many
//     entries it has. Each time that another writer was faster, two GetItem and
//     one TransactWriteItems more.
//   - Trim: one GetItem and one Query; when rows go, a Query for each 100 items,
//     one UpdateItem, and a BatchWriteItem for each 25 items.
//   - Recall: one GetItem and one read of a blob. Lease: one GetItem. Acquire,
//     Renew, Release: one UpdateItem.
//   - Commit: one GetItem, and with entries one TransactWriteItems of two items.
//     Memory adds an UpdateItem, a write of a blob and a removal of one, and,
//     without entries, one more UpdateItem. A step with nothing in it only checks
//     the lease. Beginning a journal anew adds what Trim takes to drop rows.
//   - NoteScan: one UpdateItem. LastScan: one GetItem.
type Journals struct{ s *State }

var _ journal.ScanStore = Journals{}

// Journals is the view of the state that holds journals.
func (s *State) Journals() Journals { return Journals{s} }

// journalHead is the head of a journal as it is stored. The zero head is of a
// source never seen.
type journalHead struct {
	epoch        string
	oldest, next int64
	lease        replication.Lease
	generation   int64
	memory       wireMemory
	noted        []byte // pending, packed
	pending      []string
}

func readJournalHead(it item) (h journalHead, err error) {
	r := reader{it: it}
	if err := checkVersion(r.num(attrSchema), journalSchema); err != nil {
		return h, err
	}
	h = journalHead{epoch: r.str(attrEpoch), oldest: r.num(attrOldest), next: r.num(attrNext), generation: r.num(attrGen)}
	h.lease = replication.Lease{Fence: r.num(attrFence)}
	if us := r.num(attrLease); us != 0 {
		h.lease.Owner, h.lease.Expires = r.str(attrOwner), fromMicros(us)
	}
	if h.epoch != "" && (h.oldest < 1 || h.next <= h.oldest) {
		return h, damaged(fmt.Errorf("a journal from %d to before %d", h.oldest, h.next))
	}
	if packed := r.bin(attrRecord); packed != nil {
		if h.memory, err = unpack[wireMemory](packed); err != nil {
			return h, err
		}
	}
	if (h.generation > 0) != (h.memory.Blob != nil) {
		return h, damaged(fmt.Errorf("generation %d of the scan memory, and it is there: %v", h.generation, h.memory.Blob != nil))
	}
	if h.noted = r.bin(attrPending); h.noted != nil {
		if h.pending, err = unpack[[]string](h.noted); err != nil {
			return h, err
		}
	}
	return h, r.err
}

func (h journalHead) head() journal.Head {
	if h.epoch == "" {
		return journal.Head{}
	}
	return journal.Head{Epoch: h.epoch, Oldest: h.oldest, Newest: h.next - 1}
}

func (h journalHead) recollection() journal.Recollection {
	return journal.Recollection{Head: h.head(), Lease: h.lease, Generation: h.generation}
}

func journalKey(source string) item { return keyOf(journalPK(source), headSK) }

// read reads the head of a journal.
func (j Journals) read(ctx context.Context, source string) (journalHead, error) {
	it, err := j.s.get(ctx, journalKey(source))
	if err != nil {
		return journalHead{}, err
	}
	return readJournalHead(it)
}

// Head implements [journal.Store].
func (j Journals) Head(ctx context.Context, source string) (journal.Head, error) {
	if err := checkSource(source); err != nil {
		return journal.Head{}, err
	}
	h, err := j.read(ctx, source)
	if err != nil {
		return journal.Head{}, j.explain(ctx, "read the journal of "+source, source, err)
	}
	return h.head(), nil
}

func checkSource(source string) error {
	if source == "" || len(source) > maxKey || !utf8.ValidString(source) {
		return fmt.Errorf("%q is not the name of a journal's source", source)
	}
	return nil
}

// explain leaves the words of package journal as they are, and says of a damaged
// record what helps a journal.
func (j Journals) explain(ctx context.Context, op, source string, err error) error {
	var leased *journal.LeasedError
	if errors.As(err, &leased) {
		return err
	}
	if slices.ContainsFunc([]error{journal.ErrNoJournal, journal.ErrFenced, journal.ErrEntry}, func(e error) bool { return errors.Is(err, e) }) {
		return fmt.Errorf("%s: %w", op, err)
	}
	var known *replication.Error
	if errors.As(err, &known) && known.Op == opRead {
		return &replication.Error{Op: op, Server: "table " + j.s.table, Class: known.Class, Err: known.Err,
			Hint: fmt.Sprintf("restore the table and its blobs to a point in time, or delete the item %s of the partition %s: the next scan then begins a new journal, and its readers compare everything once", headSK, journalPK(source))}
	}
	return j.s.explain(ctx, op, err)
}
