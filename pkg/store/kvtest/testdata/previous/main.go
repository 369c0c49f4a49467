// Command previous wrote the files beside it: a state file, a table with its blobs, and what
// the same version reads of each. It builds at commit a086342 only.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/state"
	"chefsync/pkg/state/dynamostate"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get[T any](v T, err error) T { must(err); return v }

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC) }

type memory struct {
	mu    sync.Mutex
	blobs map[string][]byte
}

func (m *memory) Put(_ context.Context, key string, data []byte, sum [32]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[key] = bytes.Clone(data)
	return nil
}

func (m *memory) Get(_ context.Context, key string, sum [32]byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.blobs[key]
	if !ok {
		return nil, replication.ErrNotStaged
	}
	if sha256.Sum256(d) != sum {
		return nil, errors.New("mismatch")
	}
	return d, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, key)
	return nil
}

func id(s string) replication.PairID { return get(replication.ParsePairID(s)) }

func ref(kind replication.Kind, name, sub string) replication.Ref {
	return replication.Ref{Kind: kind, Name: name, Sub: sub}
}

func progress() replication.Progress {
	at := func(d time.Duration) time.Time { return noon().Add(d) }
	p := replication.Progress{
		Status: replication.Synced, Since: at(-90 * time.Hour), Feed: "updated_since", FeedNote: "the primary serves updated_since",
		Position: &replication.Position{Identity: "https://chef.example.com/organizations/engineering#0123456789abcdef0123456789abcdef",
			Seq: 4711234, Marks: map[int64]string{}},
		LastAttempt: at(0), LastSuccess: at(0), LastCompare: at(-70 * time.Hour), LastVerified: at(-20 * time.Hour), LastCheck: at(-20 * time.Hour),
		NextRun: at(time.Minute), Objects: 420, Unsynced: 2, UnsyncedSince: at(-3 * time.Hour), NextRetry: at(time.Hour), IdentityAt: at(-time.Hour),
		Replica: "https://eu.example.com/organizations/engineering#ffff", ReplicaAt: at(-time.Hour), Selected: "0123456789abcdef",
		Dirty:     []replication.Ref{ref(replication.Role, "web", ""), ref(replication.Cookbook, "", "")},
		Deletions: &replication.Deletions{Since: at(-time.Hour), Spans: []replication.DeletionCount{{}, {Deleted: map[replication.Kind]int{replication.Role: 3}}}},
	}
	for i := range int64(100) {
		p.Position.Seen = append(p.Position.Seen, p.Position.Seq-600+i*6+i*i%5)
	}
	for i := range int64(8) {
		p.Position.Marks[p.Position.Seq-i] = fmt.Sprintf("%08x", 0x9e3779b9*uint32(i+1))
	}
	return p
}

func fingerprint(i int) string {
	s := sha256.Sum256(fmt.Append(nil, i))
	return fmt.Sprintf("%x", s)
}

func write(ctx context.Context, s replication.State, j journal.ScanStore, h health.Store) {
	eng := id("eu/engineering")
	st := get(s.Acquire(ctx, eng, "host/1/x", noon(), time.Minute))
	names := []string{"a", "A", ".", "..", "a:b", "%2F", "a%b", "ünïcode", "a b", "'", `"`, "\\", "*", strings.Repeat("n", 255)}
	applied := map[replication.Ref]string{}
	for i := range 400 {
		applied[ref(replication.Cookbook, fmt.Sprintf("cookbook%d", i%70), fmt.Sprintf("%d.0.0", i))] = fingerprint(i)
	}
	for i, n := range names {
		applied[ref(replication.Role, n, "")] = fingerprint(1000 + i)
		applied[ref(replication.DataBagItem, "users", n)] = fingerprint(2000 + i)
	}
	applied[ref(replication.Role, "interrupted", "")] = "?"
	must(s.Commit(ctx, eng, st.Lease.Fence, noon(), replication.Update{Progress: progress(), Applied: applied,
		Run: &replication.Run{ID: "20261122T110000Z-1", Pair: eng, Trigger: "schedule", Mode: "compare", Started: noon(), Ended: noon(), Outcome: "done", Counts: replication.Counts{Created: 420}}}))
	unsynced := []replication.Unsynced{
		{Ref: ref(replication.Role, "bad", ""), Class: replication.Rejected, Reason: "write /roles/bad on eu: 400", Hint: "correct it", Attempts: 3, FirstSeen: noon(), LastTry: noon(), NextTry: noon().Add(time.Hour), ChangeID: 17},
		{Ref: ref(replication.Role, "..", ""), Class: replication.DeletionHeld, Reason: "its deletion waits for approval", FirstSeen: noon(), LastTry: noon(), NextTry: noon()},
		{Ref: ref(replication.Environment, "", ""), Class: replication.Transient, Reason: "read /environments: 500", Attempts: 1, FirstSeen: noon(), LastTry: noon(), NextTry: noon()},
		{Ref: ref(replication.DataBagItem, "users", ""), Class: replication.Foreign, Reason: "read /data/users: HTML", Attempts: 1, FirstSeen: noon(), LastTry: noon(), NextTry: noon(), Items: 4},
	}
	for i := range 70 { // past the length at which the log is folded
		u := replication.Update{Progress: progress(), Applied: map[replication.Ref]string{ref(replication.Role, fmt.Sprintf("later%d", i), ""): fingerprint(3000 + i)}}
		if i < len(unsynced) {
			u.Unsynced = unsynced[i : i+1]
		}
		if i == 68 {
			u.Removed = []replication.Ref{ref(replication.Role, "later5", ""), ref(replication.Cookbook, "cookbook3", "3.0.0")}
		}
		if i == 69 {
			u.Run = &replication.Run{ID: "20261122T120000Z-2", Pair: eng, Trigger: "scan", Mode: "changes", Started: noon(), Outcome: "partial", Left: 2,
				Error: &replication.Failure{At: noon(), Class: replication.Transient, Message: "read /roles on the primary: 503", Hint: "try again"}}
		}
		must(s.Commit(ctx, eng, st.Lease.Fence, noon(), u))
	}
	must(s.Release(ctx, eng, st.Lease.Fence))
	retry, allow, resync := noon(), 7, noon().Add(-time.Hour)
	must(s.Direct(ctx, eng, replication.Directive{AllowDeletes: &allow, Resync: &resync, Retry: &retry, RetryOnly: []replication.Ref{ref(replication.Role, "bad", "")}, At: noon()}))

	stop, reason := true, "maintenance"
	must(s.Direct(ctx, id("us/stopped"), replication.Directive{Stop: &stop, Reason: &reason, At: noon()}))

	held := id("us/engineering")
	p := progress()
	p.Status = replication.Held
	p.Hold = &replication.Hold{At: noon(), Reason: "200 deletions wait for approval", Deletes: 200, Records: 1, Sample: []replication.Ref{ref(replication.Role, "x", "")}}
	p.Position = &replication.Position{Identity: "p", Epoch: "0123", Seq: noon().UnixMilli() + 3}
	for i := range 30 { // large enough for an item of its own
		p.Dirty = append(p.Dirty, ref(replication.DataBagItem, "bag"+fingerprint(i), fingerprint(i+1)))
	}
	p.Work = &replication.Work{Reason: "changes", Started: noon(), Upto: p.Position, After: "/roles/", Intent: []replication.Ref{ref(replication.Role, "web", "")}, Crashes: 1}
	p.LastError = &replication.Failure{At: noon(), Class: replication.Unreachable, Message: "no answer", Hint: "check the network"}
	st = get(s.Acquire(ctx, held, "host/2/y", noon(), time.Hour))
	must(s.Commit(ctx, held, st.Lease.Fence, noon(), replication.Update{Progress: p, Applied: map[replication.Ref]string{ref(replication.Role, "web", ""): fingerprint(1)}}))
	must(s.Note(ctx, id("us/polled"), 0, noon(), replication.Progress{Status: replication.Retrying, LastAttempt: noon(), Failures: 3}))

	src := "chef.example.com-engineering"
	known := get(j.Acquire(ctx, src, "host/1/x", noon(), time.Minute))
	get(j.Commit(ctx, src, known.Lease.Fence, noon(), journal.Step{Begin: "epoch-1", Blob: bytes.Repeat([]byte("what the scanner knows "), 20000)}))
	for i := range 12 {
		get(j.Append(ctx, src, noon().Add(time.Duration(i)*time.Minute), []journal.Entry{{Action: "update", Path: fmt.Sprintf("/roles/r%d", i)}, {Action: "delete", Path: "/data/users/ünï"}}))
	}
	get(j.Trim(ctx, src, noon().Add(2*time.Minute), 0))
	must(j.Release(ctx, src, known.Lease.Fence))
	must(j.NoteScan(ctx, src, journal.LastScan{Ended: noon(), Good: noon().Add(-time.Minute), Listed: 430, Changes: 3, Partial: 1, Unread: []journal.Unread{{Kind: replication.Role, Since: noon(), Error: "403", Class: replication.Denied}}}))
	get(j.Acquire(ctx, "other", "host/3/z", noon(), time.Hour))

	must(h.SaveServer(ctx, health.Server{Name: "primary", CheckedAt: noon(), UpAt: noon(), Latency: 12 * time.Millisecond}))
	must(h.SaveServer(ctx, health.Server{Name: "eu", CheckedAt: noon(), DownSince: noon(), Error: "no answer", Hint: "start it"}))
	must(h.SaveProcess(ctx, health.Process{Role: health.RoleDaemon, Owner: "host/1/x", Host: "host", PID: 1, Started: noon(), Seen: noon(), Pairs: 4, Version: "a086342"}))
}

type entry struct {
	Object      [3]string
	Fingerprint string
}

type failure struct {
	Object  [3]string
	Failure replication.Unsynced
}

type pair struct {
	State     replication.PairState
	Inventory []entry
	Unsynced  []failure
	Runs      []replication.Run
}

type source struct {
	Page  journal.Page
	Known journal.Recollection
	Last  journal.LastScan
}

type all struct {
	Pairs     []pair
	Sources   map[string]source
	Servers   []health.Server
	Processes []health.Process
}

func triple(r replication.Ref) [3]string { return [3]string{string(r.Kind), r.Name, r.Sub} }

func read(ctx context.Context, s replication.State, j journal.ScanStore, h health.Store) (a all) {
	for _, st := range get(s.Pairs(ctx)) {
		p := pair{State: st, Runs: get(s.Runs(ctx, st.ID, 1000))}
		for r, f := range get(s.Inventory(ctx, st.ID)) {
			p.Inventory = append(p.Inventory, entry{triple(r), f})
		}
		for _, u := range get(s.Unsynced(ctx, st.ID)) {
			o := triple(u.Ref)
			u.Ref = ref(replication.Role, "any", "")
			p.Unsynced = append(p.Unsynced, failure{o, u})
		}
		a.Pairs = append(a.Pairs, p)
	}
	a.Sources = map[string]source{}
	for _, src := range []string{"chef.example.com-engineering", "other"} {
		known := get(j.Recall(ctx, src))
		a.Sources[src] = source{get(j.Rows(ctx, src, 0, 10000)), known, get(j.LastScan(ctx, src))}
	}
	a.Servers, a.Processes = get(h.Servers(ctx)), get(h.Processes(ctx))
	return a
}

func save(name string, data []byte) {
	var b bytes.Buffer
	w := get(gzip.NewWriterLevel(&b, gzip.BestCompression))
	get(w.Write(data))
	must(w.Close())
	must(os.WriteFile(filepath.Join(os.Args[1], name), b.Bytes(), 0o644))
	fmt.Println(name, b.Len())
}

func main() {
	ctx := context.Background()
	dir := get(os.MkdirTemp("", ""))
	path := filepath.Join(dir, "state.db")
	s := get(state.OpenSQLite(ctx, path))
	write(ctx, s, s.Journals(), s.Health())
	save("sqlite.json.gz", get(json.Marshal(read(ctx, s, s.Journals(), s.Health()))))
	must(s.Close())
	save("state.db.gz", get(os.ReadFile(path)))

	srv := httptest.NewServer(dynamotest.Handler())
	c := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Credentials: credentials.NewStaticCredentialsProvider("t", "t", "")})
	get(c.CreateTable(ctx, dynamostate.Definition().CreateTableInput("t")))
	blobs := &memory{blobs: map[string][]byte{}}
	d := dynamostate.Open(c, "t", blobs)
	write(ctx, d, d.Journals(), d.Health())
	save("dynamo.json.gz", get(json.Marshal(read(ctx, d, d.Journals(), d.Health()))))
	var items []map[string]map[string]any
	for _, it := range get(c.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("t")})).Items {
		out := map[string]map[string]any{}
		for k, v := range it {
			switch v := v.(type) {
			case *types.AttributeValueMemberS:
				out[k] = map[string]any{"S": v.Value}
			case *types.AttributeValueMemberN:
				out[k] = map[string]any{"N": v.Value}
			case *types.AttributeValueMemberB:
				out[k] = map[string]any{"B": v.Value}
			default:
				panic(v)
			}
		}
		items = append(items, out)
	}
	save("table.json.gz", get(json.Marshal(map[string]any{"items": items, "blobs": blobs.blobs})))
}
