// Package previous brings what the previous version of the program kept in a table, with
// large parts as blobs in a bucket, to the items of package store in the same table. It is
// needed for one upgrade only.
//
// The old records are first marked as those of a newer version, by which functions of the
// previous version that still run refuse to write them. Nothing changes them from then on,
// so any number of processes may import them at once, and one that dies leaves the rest to
// the next. The old items and blobs stay where they are.
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

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/object"
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

// Importer brings the records of the previous version to a KV.
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

// movedVersion marks an item whose record has been moved.
const movedVersion = 2

// Run imports what is there, unless it was imported before: one small read then.
func (m Importer) Run(ctx context.Context) error {
	done, err := store.Prepared(ctx, m.KV)
	if err != nil || done {
		return err
	}
	if err := m.run(ctx); err != nil {
		return fmt.Errorf("take over the records of the previous version: %w", err)
	}
	return store.SetPrepared(ctx, m.KV, m.Now())
}

func (m Importer) run(ctx context.Context) error {
	pairs, err := m.query(ctx, "pairs", "")
	if err != nil {
		return err
	}
	for _, it := range pairs {
		a := attributes{it: it}
		if err := m.pair(ctx, a.str("sk")); err != nil {
			return fmt.Errorf("pair %s: %w", a.str("sk"), err)
		}
	}
	if len(pairs) > 0 {
		sources, err := m.Sources(ctx)
		if err != nil {
			return err
		}
		for _, source := range sources {
			if err := m.source(ctx, source); err != nil {
				return fmt.Errorf("source %s: %w", source, err)
			}
		}
	}
	return m.health(ctx)
}

func key(pk, sk string) item {
	return item{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

func (m Importer) get(ctx context.Context, pk, sk string) (item, error) {
	out, err := m.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &m.Table, Key: key(pk, sk), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (m Importer) query(ctx context.Context, pk, prefix string) (all []item, err error) {
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
		all = append(all, out.Items...)
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(out.LastEvaluatedKey) == 0 {
			return all, nil
		}
	}
}

// freeze marks an item as moved, so that the previous version writes it no more, and
// returns it. One that is absent is nil.
func (m Importer) freeze(ctx context.Context, pk, sk string) (*attributes, error) {
	out, err := m.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &m.Table, Key: key(pk, sk), UpdateExpression: aws.String("SET v = :moved"),
		ConditionExpression:       aws.String("attribute_exists(pk) AND (attribute_not_exists(v) OR v <= :moved)"),
		ExpressionAttributeValues: item{":moved": &types.AttributeValueMemberN{Value: strconv.Itoa(movedVersion)}},
		ReturnValues:              types.ReturnValueAllNew,
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		it, err := m.get(ctx, pk, sk)
		if err == nil && len(it) > 0 {
			err = replication.ErrSchema
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return &attributes{it: out.Attributes}, nil
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func (a *attributes) lease() replication.Lease {
	l := replication.Lease{Fence: a.num("f")}
	if us := a.num("x"); us != 0 {
		l.Owner, l.Expires = a.str("o"), fromMicros(us)
	}
	return l
}

func (m Importer) pair(ctx context.Context, name string) error {
	a, err := m.freeze(ctx, "pairs", name)
	if err != nil || a == nil {
		return err
	}
	p := store.PreviousPair{Inventory: map[object.Ref]string{}}
	if p.State.ID, err = replication.ParsePairID(name); err != nil {
		return err
	}
	p.State.Lease = a.lease()
	if packed := a.bin("d"); packed != nil {
		d, err := unpack[desired](packed)
		if err != nil {
			return err
		}
		p.State.Desired = d.Desired
		p.State.Desired.RetryOnly, p.State.Desired.ResyncObjects = objects(d.RetryOnly), objects(d.ResyncObjects)
	}
	if p.State.Progress, err = m.progress(ctx, a, name); err != nil {
		return err
	}
	if err := m.maps(ctx, a, name, &p); err != nil {
		return err
	}
	runs, err := m.query(ctx, "pair#"+name, "run#")
	if err != nil {
		return err
	}
	for _, it := range runs {
		r := attributes{it: it}
		run, err := unpack[replication.Run](r.bin("r"))
		if err := errors.Join(err, r.err); err != nil {
			return err
		}
		p.Runs = append(p.Runs, run)
	}
	writes, err := p.Writes()
	if err := errors.Join(err, a.err); err != nil {
		return err
	}
	return store.Import(ctx, m.KV, writes)
}

func (m Importer) progress(ctx context.Context, a *attributes, name string) (p replication.Progress, err error) {
	packed := a.bin("p")
	if packed == nil {
		return p, nil
	}
	w, err := unpack[progress](packed)
	if err != nil {
		return p, err
	}
	var d detail
	if a.bin("h") != nil {
		it, err := m.get(ctx, "pair#"+name, "detail")
		if err != nil {
			return p, err
		}
		r := attributes{it: it}
		if d, err = unpack[detail](r.bin("r")); err != nil {
			return p, err
		}
	}
	return w.progress(d)
}

// maps reads the inventory and the unsynced objects of a pair: the base of its generation,
// and what each commit since changed.
func (m Importer) maps(ctx context.Context, a *attributes, name string, p *store.PreviousPair) error {
	log, err := m.query(ctx, "pair#"+name, "log#")
	if err != nil {
		return err
	}
	items := map[string]*attributes{}
	for _, it := range log {
		l := &attributes{it: it}
		items[l.str("sk")] = l
	}
	aside := map[object.Ref]replication.Unsynced{}
	apply := func(d delta) {
		for _, w := range d.Removed {
			delete(p.Inventory, w.object())
		}
		for _, w := range d.Synced {
			delete(aside, w.object())
		}
		for _, e := range d.Applied {
			p.Inventory[ref(e[:3]).object()] = e[3]
		}
		for _, u := range d.Unsynced {
			u.Unsynced.Ref = u.Ref.object()
			aside[u.Unsynced.Ref] = u.Unsynced
		}
	}
	generation, count := a.num("g"), a.num("n")
	if generation > 0 {
		d, err := m.base(ctx, items["log#base"], generation)
		if err != nil {
			return err
		}
		apply(d)
	}
	for n := range count {
		sk := fmt.Sprintf("log#%010d#%06d", generation, n+1)
		l, there := items[sk]
		if !there {
			return fmt.Errorf("the item %s isn't there", sk)
		}
		d, err := unpack[delta](l.bin("r"))
		if err := errors.Join(err, l.err); err != nil {
			return err
		}
		apply(d)
	}
	for _, u := range aside {
		p.Unsynced = append(p.Unsynced, u)
	}
	return nil
}

func (m Importer) base(ctx context.Context, a *attributes, generation int64) (d delta, err error) {
	if a == nil || a.num("g") != generation {
		return d, fmt.Errorf("the base of generation %d isn't there", generation)
	}
	b, err := unpack[base](a.bin("r"))
	if err != nil {
		return d, err
	}
	d = delta{Applied: b.Inventory, Unsynced: b.Unsynced}
	if b.InventoryBlob != nil {
		if d.Applied, err = readBlob[[][4]string](ctx, m, *b.InventoryBlob); err != nil {
			return d, err
		}
	}
	if b.UnsyncedBlob != nil {
		d.Unsynced, err = readBlob[[]unsynced](ctx, m, *b.UnsyncedBlob)
	}
	return d, err
}

func readBlob[T any](ctx context.Context, m Importer, b blobRef) (v T, err error) {
	data, err := m.blob(ctx, b)
	if err != nil {
		return v, err
	}
	return unzip[T](data)
}

func (m Importer) blob(ctx context.Context, b blobRef) ([]byte, error) {
	if len(b.Sum) != sha256.Size {
		return nil, fmt.Errorf("the pointer to the blob %s has no checksum", b.Key)
	}
	return m.Blobs.Get(ctx, b.Key, [32]byte(b.Sum))
}

func (m Importer) source(ctx context.Context, name string) error {
	pk := "journal#" + name
	if err := m.scan(ctx, pk, name); err != nil {
		return err
	}
	a, err := m.freeze(ctx, pk, "top")
	if err != nil || a == nil {
		return err
	}
	s := store.PreviousSource{Name: name, Epoch: a.str("e"), Oldest: a.num("a"), Next: a.num("i"), Generation: a.num("g"), Lease: a.lease()}
	rows, err := m.query(ctx, pk, "row#")
	if err != nil {
		return err
	}
	for _, it := range rows {
		more, err := changes(&attributes{it: it})
		if err != nil {
			return err
		}
		for _, r := range more {
			if s.Oldest <= r.ID && r.ID < s.Next { // others are left over
				s.Rows = append(s.Rows, r)
			}
		}
	}
	if packed := a.bin("r"); packed != nil {
		where, err := unpack[struct {
			Blob *blobRef `json:"blob,omitempty"`
		}](packed)
		if err != nil {
			return err
		}
		if where.Blob != nil {
			if s.Memory, err = m.blob(ctx, *where.Blob); err != nil {
				return err
			}
		}
	}
	writes, err := s.Writes()
	if err := errors.Join(err, a.err); err != nil {
		return err
	}
	return store.Import(ctx, m.KV, writes)
}

// changes reads rows that were written together. Their ids end at the one in the sort key.
func changes(a *attributes) (rows []journal.Row, err error) {
	last, err := strconv.ParseInt(strings.TrimPrefix(a.str("sk"), "row#"), 10, 64)
	if err != nil {
		return nil, err
	}
	w, err := unpack[struct {
		At   int64       `json:"at"`
		Rows [][2]string `json:"rows"`
	}](a.bin("r"))
	for i, r := range w.Rows {
		rows = append(rows, journal.Row{ID: last - int64(len(w.Rows)-1-i), Action: r[0], Path: r[1], Time: fromMicros(w.At)})
	}
	return rows, errors.Join(err, a.err)
}

func (m Importer) scan(ctx context.Context, pk, name string) error {
	it, err := m.get(ctx, pk, "diary")
	if err != nil || len(it) == 0 {
		return err
	}
	a := attributes{it: it}
	last, err := unpack[journal.LastScan](a.bin("r"))
	if err != nil {
		return err
	}
	w, err := store.ScanWrite(name, last)
	if err != nil {
		return err
	}
	return store.Import(ctx, m.KV, []store.Write{w})
}

func (m Importer) health(ctx context.Context) error {
	items, err := m.query(ctx, "health", "")
	if err != nil {
		return err
	}
	for _, it := range items {
		a := attributes{it: it}
		w, err := healthWrite(a.str("sk"), a.bin("r"))
		if err == nil {
			err = store.Import(ctx, m.KV, []store.Write{w})
		}
		if err := errors.Join(err, a.err); err != nil {
			return err
		}
	}
	return nil
}

func healthWrite(sk string, packed []byte) (w store.Write, err error) {
	if strings.HasPrefix(sk, "server#") {
		s, err := unpack[health.Server](packed)
		if err != nil {
			return w, err
		}
		return store.ServerWrite(s)
	}
	p, err := unpack[health.Process](packed)
	if err != nil {
		return w, err
	}
	return store.ProcessWrite(p)
}
