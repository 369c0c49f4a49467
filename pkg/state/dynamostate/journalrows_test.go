package dynamostate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/feed/journal"
)

func TestNoJournalsBlobsAreAPairs(t *testing.T) {
	if got, want := JournalPrefix("chef.example.com-acme"), "journal=/chef=2eexample=2ecom-acme/"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, pair := range []string{"journal/acme", "journal=/acme", "journal=", "journal=2f/acme"} {
		if strings.HasPrefix(PairPrefix(pair), "journal=/") {
			t.Errorf("the blobs of the pair %s are among those of journals", pair)
		}
	}
}

// FuzzRows: whatever an item says, its rows have ids that follow one another up
// to that of its key, or there is an error. Rows that could be read are written
// the same again.
func FuzzRows(f *testing.F) {
	it, err := rowsItem("s", 1_795_348_800_000, time.UnixMicro(5), []journal.Entry{{Action: journal.Update, Path: "/roles/web"}, {Action: journal.Delete, Path: "/data/a/b"}}, token(8))
	if err != nil {
		f.Fatal(err)
	}
	r := reader{it: it}
	f.Add(r.str(keySK), r.bin(attrRecord), int64(1))
	f.Add("row#0000000000000000001", r.bin(attrRecord), int64(1))
	f.Add("row#9223372036854775807", []byte{1, 0}, int64(2))
	f.Fuzz(func(t *testing.T, sk string, packed []byte, schema int64) {
		rows, err := readRows(item{keySK: str(sk), attrSchema: num(schema), attrRecord: bin(packed)})
		if err != nil {
			if len(rows) > 0 && schema > journalSchema {
				t.Fatalf("rows of version %d", schema)
			}
			return
		}
		var entries []journal.Entry
		for i, r := range rows {
			if r.ID < 1 || rowsSK(r.ID+int64(len(rows)-1-i)) != sk {
				t.Fatalf("row %d of %d at %s has the id %d", i, len(rows), sk, r.ID)
			}
			entries = append(entries, journal.Entry{Action: r.Action, Path: r.Path})
		}
		it, err := rowsItem("s", rows[0].ID, rows[0].Time, entries, token(8))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readRows(it); err != nil || !slices.Equal(again, rows) {
			t.Fatalf("%v, %v; want %v", again, err, rows)
		}
	})
}

// FuzzJournalHead: nothing that may stand in the table brings a reader down, and
// a head that can be read has an order.
func FuzzJournalHead(f *testing.F) {
	memory, err := pack(wireMemory{Blob: &blobRef{Key: "k", Size: 1, Sum: make([]byte, 32)}, Garbage: []string{"a"}})
	if err != nil {
		f.Fatal(err)
	}
	pending, err := pack([]string{"a", "b"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("e", "7", "9", "1", memory, pending)
	f.Add("", "", "x", "0", none(), none())
	f.Fuzz(func(t *testing.T, epoch, oldest, next, generation string, memory, pending []byte) {
		n := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
		h, err := readJournalHead(item{attrEpoch: str(epoch), attrOldest: n(oldest), attrNext: n(next), attrGen: n(generation), attrRecord: bin(memory), attrPending: bin(pending)})
		if err != nil {
			return
		}
		if head := h.head(); head != (journal.Head{}) && (head.Oldest < 1 || head.Newest < head.Oldest) {
			t.Fatalf("%+v", head)
		}
		if (h.generation > 0) != (h.memory.Blob != nil) {
			t.Fatalf("%+v", h)
		}
	})
}

// FuzzAssemble: whatever rows a query shows with a head, a page has no hole.
func FuzzAssemble(f *testing.F) {
	f.Add(int64(5), int64(9), int64(6), 10, []byte{7, 8, 9, 10})
	f.Add(int64(5), int64(9), int64(0), 2, []byte{3, 4, 5, 7})
	f.Fuzz(func(t *testing.T, oldest, newest, after int64, limit int, ids []byte) {
		if oldest < 1 || newest < oldest {
			t.Skip()
		}
		slices.Sort(ids)
		var rows []journal.Row
		for _, id := range slices.Compact(ids) {
			rows = append(rows, journal.Row{ID: int64(id)})
		}
		page, err := assemble(journal.Head{Epoch: "e", Oldest: oldest, Newest: newest}, rows, after, limit)
		if err != nil {
			return
		}
		next := oldest
		if after >= oldest {
			next = after + 1
		}
		for _, r := range page.Rows {
			if r.ID != next || r.ID > newest {
				t.Fatalf("%+v", page)
			}
			next++
		}
		if after < newest && next <= newest && len(page.Rows) < limit {
			t.Fatalf("%d rows of at most %d, up to %d of %d", len(page.Rows), limit, next-1, newest)
		}
	})
}
