// Package previous imports the records that the previous version of the program kept in a
// table, with large parts as blobs in a bucket, to the items of package store in the same
// table. It is needed for one upgrade only.
//
// Each old record is first marked as one of a newer version, so that functions of the
// previous version that still run don't write it any more. From then on any number of
// processes may import it at once, and one that dies leaves the rest to the next. The old
// items and blobs stay. A pair with damaged records is imported stopped and without a
// ledger, and its record says what to try. Nothing that is damaged keeps other records from
// being imported. What was last seen of servers and processes is not imported: the next
// contact records it again.
package previous

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
)

// API is the part of [dynamodb.Client] that is used.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Blobs reads what was too large for an item.
type Blobs interface {
	// Get returns a blob, or an error if it isn't there or its SHA-256 isn't sum.
	Get(ctx context.Context, key string, sum [32]byte) ([]byte, error)
}

// Importer imports the records of the previous version.
type Importer struct {
	API   API
	Table string
	Blobs Blobs
	KV    store.KV // in the same table
	Now   func() time.Time
	// Sources returns the names of the sources whose change logs are imported. It is
	// asked only if there is a record of the previous version.
	Sources func(ctx context.Context) ([]string, error)
}

// movedVersion marks an item whose record is imported or about to be.
const movedVersion = 2

// Run imports all records, unless that was done before, which takes one small read.
func (m Importer) Run(ctx context.Context) error {
	done, err := store.IsImported(ctx, m.KV)
	if err != nil || done {
		return err
	}
	if err := m.importAll(ctx); err != nil {
		return fmt.Errorf("take over the records of the previous version: %w", err)
	}
	return store.MarkImported(ctx, m.KV, m.Now())
}

func (m Importer) importAll(ctx context.Context) error {
	pairs, err := m.queryItems(ctx, "pairs", "")
	if err != nil {
		return err
	}
	for _, it := range pairs {
		name := it.stringAttr("sk")
		if err := m.importPair(ctx, name); err != nil {
			return fmt.Errorf("pair %s: %w", name, err)
		}
	}
	if len(pairs) > 0 {
		sources, err := m.Sources(ctx)
		if err != nil {
			return err
		}
		for _, source := range sources {
			if err := m.importSource(ctx, source); err != nil {
				return fmt.Errorf("source %s: %w", source, err)
			}
		}
	}
	return nil
}

func itemKey(pk, sk string) item {
	return item{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

func (m Importer) getItem(ctx context.Context, pk, sk string) (item, error) {
	out, err := m.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &m.Table, Key: itemKey(pk, sk), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (m Importer) queryItems(ctx context.Context, pk, prefix string) (all []item, err error) {
	in := &dynamodb.QueryInput{
		TableName: &m.Table, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: item{":pk": &types.AttributeValueMemberS{Value: pk}},
	}
	if prefix != "" {
		in.KeyConditionExpression = aws.String("pk = :pk AND begins_with(sk, :prefix)")
		in.ExpressionAttributeValues[":prefix"] = &types.AttributeValueMemberS{Value: prefix}
	}
	for {
		out, err := m.API.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, it := range out.Items {
			all = append(all, it)
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(out.LastEvaluatedKey) == 0 {
			return all, nil
		}
	}
}

// freezeRecord marks an item as moved, so that the previous version doesn't write it any
// more, and returns it, or nil if there is none.
func (m Importer) freezeRecord(ctx context.Context, pk, sk string) (item, error) {
	out, err := m.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &m.Table, Key: itemKey(pk, sk), UpdateExpression: aws.String("SET v = :moved"),
		ConditionExpression:       aws.String("attribute_exists(pk) AND (attribute_not_exists(v) OR v <= :moved)"),
		ExpressionAttributeValues: item{":moved": &types.AttributeValueMemberN{Value: strconv.Itoa(movedVersion)}},
		ReturnValues:              types.ReturnValueAllNew,
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		it, err := m.getItem(ctx, pk, sk)
		if err == nil && len(it) > 0 {
			err = replication.ErrSchema
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func (it item) readLease() replication.Lease {
	l := replication.Lease{Fence: it.numberAttr("f")}
	if us := it.numberAttr("x"); us != 0 {
		l.Owner, l.Expires = it.stringAttr("o"), fromMicros(us)
	}
	return l
}

func (m Importer) importPair(ctx context.Context, name string) error {
	it, err := m.freezeRecord(ctx, "pairs", name)
	if err != nil || it == nil {
		return err
	}
	p := store.PreviousPair{}
	if p.State.ID, err = replication.ParsePairID(name); err != nil {
		return err
	}
	p.State.Lease = it.readLease()
	writes, err := m.readPair(ctx, it, name, &p)
	if isDamaged(err) {
		writes, err = m.damagedPair(p.State, err).Writes()
	}
	if err != nil {
		return err
	}
	return store.ImportOnce(ctx, m.KV, writes)
}

// isDamaged reports whether an error means that records are damaged, in contrast to one of
// AWS, which a retry may avoid.
func isDamaged(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, replication.ErrNotStaged) || errors.Is(err, replication.ErrContentMismatch)
}

// damagedPair returns a pair with damaged records as it is imported: stopped, so that
// nothing is written to the replica before the operator has seen why, and with the desired
// state if that could be read. The old records stay.
func (m Importer) damagedPair(st replication.PairState, err error) store.PreviousPair {
	now := m.Now()
	if !st.Desired.Stopped {
		st.Desired.Stopped, st.Desired.Since = true, now
		st.Desired.Reason = "its records of the previous version are damaged"
	}
	st.Progress = replication.Progress{LastError: &replication.Failure{
		At: now, Class: fault.Local, Message: "import the records of the previous version: " + err.Error(),
		Hint: "restore the table to a point in time before the upgrade and upgrade again, or chef-sync-ctl sync-start " + st.ID.String() +
			": a full comparison then starts over and loses nothing on the replica",
	}}
	return store.PreviousPair{State: st}
}

// readPair reads the records of a pair and returns their writes.
func (m Importer) readPair(ctx context.Context, it item, name string, p *store.PreviousPair) ([]store.Write, error) {
	if packed := it.binaryAttr("d"); packed != nil {
		d, err := unpackRecord[packedDesired](packed)
		if err != nil {
			return nil, err
		}
		p.State.Desired = d.Desired
		p.State.Desired.RetryOnly, p.State.Desired.ResyncObjects = toRefs(d.RetryOnly), toRefs(d.ResyncObjects)
	}
	var err error
	if p.State.Progress, err = m.readProgress(ctx, it, name); err != nil {
		return nil, err
	}
	if err := m.readLedger(ctx, it, name, p); err != nil {
		return nil, err
	}
	runs, err := m.queryItems(ctx, "pair#"+name, "run#")
	if err != nil {
		return nil, err
	}
	for _, it := range runs {
		run, err := unpackRecord[replication.Run](it.binaryAttr("r"))
		if err != nil {
			return nil, err
		}
		p.Runs = append(p.Runs, run)
	}
	writes, err := p.Writes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return writes, nil
}

func (m Importer) readProgress(ctx context.Context, it item, name string) (p replication.Progress, err error) {
	packed := it.binaryAttr("p")
	if packed == nil {
		return p, nil
	}
	w, err := unpackRecord[packedProgress](packed)
	if err != nil {
		return p, err
	}
	var d progressDetail
	if it.binaryAttr("h") != nil {
		it, err := m.getItem(ctx, "pair#"+name, "detail")
		if err != nil {
			return p, err
		}
		if d, err = unpackRecord[progressDetail](it.binaryAttr("r")); err != nil {
			return p, err
		}
	}
	return w.toProgress(d)
}

// readLedger reads the inventory and the unsynced objects of a pair: the base of its
// generation, and what each later commit changed.
func (m Importer) readLedger(ctx context.Context, it item, name string, p *store.PreviousPair) error {
	log, err := m.queryItems(ctx, "pair#"+name, "log#")
	if err != nil {
		return err
	}
	items := map[string]item{}
	for _, it := range log {
		items[it.stringAttr("sk")] = it
	}
	apply := func(d ledgerDelta) {
		for _, w := range d.Removed {
			p.SetFingerprint(w.toRef(), "")
		}
		for _, w := range d.Synced {
			p.SetFailure(w.toRef(), nil)
		}
		for _, e := range d.Applied {
			p.SetFingerprint(packedRef(e[:3]).toRef(), e[3])
		}
		for _, u := range d.Unsynced {
			u.Unsynced.Ref = u.Ref.toRef()
			p.SetFailure(u.Unsynced.Ref, &u.Unsynced)
		}
	}
	generation, count := it.numberAttr("g"), it.numberAttr("n")
	if generation > 0 {
		d, err := m.readBase(ctx, items["log#base"], generation)
		if err != nil {
			return err
		}
		apply(d)
	}
	for n := range count {
		sk := fmt.Sprintf("log#%010d#%06d", generation, n+1)
		l, there := items[sk]
		if !there {
			return fmt.Errorf("%w: the item %s isn't there", errDamaged, sk)
		}
		d, err := unpackRecord[ledgerDelta](l.binaryAttr("r"))
		if err != nil {
			return err
		}
		apply(d)
	}
	return nil
}

func (m Importer) readBase(ctx context.Context, it item, generation int64) (d ledgerDelta, err error) {
	if it == nil || it.numberAttr("g") != generation {
		return d, fmt.Errorf("%w: the base of generation %d isn't there", errDamaged, generation)
	}
	b, err := unpackRecord[ledgerBase](it.binaryAttr("r"))
	if err != nil {
		return d, err
	}
	d = ledgerDelta{Applied: b.Inventory, Unsynced: b.Unsynced}
	if b.InventoryBlob != nil {
		if d.Applied, err = readBlob[[][4]string](ctx, m, *b.InventoryBlob); err != nil {
			return d, err
		}
	}
	if b.UnsyncedBlob != nil {
		d.Unsynced, err = readBlob[[]packedUnsynced](ctx, m, *b.UnsyncedBlob)
	}
	return d, err
}

func readBlob[T any](ctx context.Context, m Importer, b blobRef) (v T, err error) {
	data, err := m.getBlob(ctx, b)
	if err != nil {
		return v, err
	}
	return unzipBlob[T](data)
}

func (m Importer) getBlob(ctx context.Context, b blobRef) ([]byte, error) {
	if len(b.Sum) != sha256.Size {
		return nil, fmt.Errorf("%w: the pointer to the blob %s has no checksum", errDamaged, b.Key)
	}
	return m.Blobs.Get(ctx, b.Key, [32]byte(b.Sum))
}

// importSource imports a change log with what its scanner knows. When records are damaged,
// the scanner begins a new change log, with later ids, and the pairs compare everything
// once.
func (m Importer) importSource(ctx context.Context, name string) error {
	pk := "journal#" + name
	if err := m.importScan(ctx, pk, name); err != nil && !isDamaged(err) {
		return err
	}
	it, err := m.freezeRecord(ctx, pk, "top")
	if err != nil || it == nil {
		return err
	}
	s, err := m.readSource(ctx, it, pk, name)
	if isDamaged(err) {
		s, err = store.PreviousSource{Name: name, Next: it.numberAttr("i"), Lease: it.readLease()}, nil
	}
	if err != nil {
		return err
	}
	writes, err := s.Writes()
	if err != nil {
		return err
	}
	return store.ImportOnce(ctx, m.KV, writes)
}

func (m Importer) readSource(ctx context.Context, it item, pk, name string) (s store.PreviousSource, err error) {
	s = store.PreviousSource{Name: name, Epoch: it.stringAttr("e"), Oldest: it.numberAttr("a"), Next: it.numberAttr("i"),
		Generation: it.numberAttr("g"), Lease: it.readLease()}
	rows, err := m.queryItems(ctx, pk, "row#")
	if err != nil {
		return s, err
	}
	for _, it := range rows {
		more, err := decodeRows(it)
		if err != nil {
			return s, err
		}
		for _, r := range more {
			if s.Oldest <= r.ID && r.ID < s.Next { // others are left over
				s.Rows = append(s.Rows, r)
			}
		}
	}
	if packed := it.binaryAttr("r"); packed != nil {
		where, err := unpackRecord[struct {
			Blob *blobRef `json:"blob,omitempty"`
		}](packed)
		if err != nil {
			return s, err
		}
		if where.Blob != nil {
			if s.ScanState, err = m.getBlob(ctx, *where.Blob); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// decodeRows decodes rows that were written together. The sort key has the id of the last.
func decodeRows(it item) (rows []changelog.Row, err error) {
	last, err := strconv.ParseInt(strings.TrimPrefix(it.stringAttr("sk"), "row#"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	w, err := unpackRecord[struct {
		At   int64       `json:"at"`
		Rows [][2]string `json:"rows"`
	}](it.binaryAttr("r"))
	for i, r := range w.Rows {
		rows = append(rows, changelog.Row{ID: last - int64(len(w.Rows)-1-i), Action: r[0], Path: r[1], Time: fromMicros(w.At)})
	}
	return rows, err
}

func (m Importer) importScan(ctx context.Context, pk, name string) error {
	it, err := m.getItem(ctx, pk, "diary")
	if err != nil || len(it) == 0 {
		return err
	}
	last, err := unpackRecord[changelog.LastScan](it.binaryAttr("r"))
	if err != nil {
		return err
	}
	w, err := store.ScanWrite(name, last)
	if err != nil {
		return err
	}
	return store.ImportOnce(ctx, m.KV, []store.Write{w})
}
