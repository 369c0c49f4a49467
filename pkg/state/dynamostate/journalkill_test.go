package dynamostate_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/stage/s3stage"
	"chefsync/pkg/state/dynamostate"
)

// Variables that make a child process of this test binary a writer of a journal:
// who it is, and where table and bucket are.
const (
	killWriter = "CHEFSYNC_TEST_KILL_JOURNAL_WRITER"
	killTable  = "CHEFSYNC_TEST_KILL_JOURNAL_TABLE"  // endpoint and name
	killBucket = "CHEFSYNC_TEST_KILL_JOURNAL_BUCKET" // endpoint and name
)

const source = "chef.example.com-acme"

// killed are journals as a child process opens them.
func killed(table, bucket string) dynamostate.Journals {
	tableURL, tableName, _ := strings.Cut(table, " ")
	bucketURL, bucketName, _ := strings.Cut(bucket, " ")
	keys := credentials.NewStaticCredentialsProvider("test", "test", "")
	items := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &tableURL, Credentials: keys, DisableValidateResponseChecksum: true})
	objects := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &bucketURL, UsePathStyle: true, Credentials: keys})
	return dynamostate.Open(items, tableName, s3stage.OpenBlobs(objects, bucketName, "state/")).Journals()
}

// noteForEver notes numbered changes, by pushes and as a scanner in turn, and
// says each number once its write has returned.
func noteForEver(j dynamostate.Journals, writer string) {
	for n := 0; ; n++ {
		entries := []journal.Entry{
			{Action: journal.Update, Path: fmt.Sprintf("/data/%s/%d.0", writer, n)},
			{Action: journal.Update, Path: fmt.Sprintf("/data/%s/%d.1", writer, n)},
		}
		var err error
		if n%3 == 2 {
			err = scan(context.Background(), j, writer, journal.Step{Entries: entries, Blob: []byte(entries[1].Path)})
		} else {
			_, err = j.Append(context.Background(), source, noon(), entries)
		}
		if err == nil {
			fmt.Println(n)
		}
	}
}

// scan commits a step at the current generation, as a scanner does.
func scan(ctx context.Context, j journal.ScanStore, owner string, step journal.Step) error {
	known, err := j.Acquire(ctx, source, owner, noon(), time.Hour)
	if err != nil {
		return err
	}
	step.Generation = known.Generation
	if _, err := j.Commit(ctx, source, known.Lease.Fence, noon(), step); err != nil {
		return err
	}
	return j.Release(ctx, source, known.Lease.Fence)
}

// TestKilledJournalWriters kills two processes at work on one journal, at random
// moments. No id is used twice or skipped, no write that returned is lost, none
// is there in part or twice, and no blob stays behind.
func TestKilledJournalWriters(t *testing.T) {
	items := dynamotest.Start(t)
	objects, bucketName := bucket(t)
	table := *items.Options().BaseEndpoint + " " + createTable(t, items)
	place := *objects.Options().BaseEndpoint + " " + bucketName
	j := killed(table, place)
	if err := scan(t.Context(), j, "test", journal.Step{Begin: "e"}); err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	var mu sync.Mutex
	for round := range 8 {
		var wg sync.WaitGroup
		for w := range 2 {
			writer := fmt.Sprintf("r%dw%d", round, w)
			wg.Go(func() {
				for _, n := range killNoter(t, writer, table, place) {
					mu.Lock()
					said[fmt.Sprintf("/data/%s/%s.1", writer, n)] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		// A killed scanner's lease is in the way until it ends; the test's clock
		// stands, so it is given back for it.
		known, err := j.Recall(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Release(t.Context(), source, known.Lease.Fence); err != nil {
			t.Fatal(err)
		}
	}
	n := checkKilled(t, j, said)
	t.Logf("16 writers killed, %d writes returned, %d rows, none lost", len(said), n)

	// One more commit finds what was left over, the next removes it.
	for range 2 {
		if err := scan(t.Context(), j, "test", journal.Step{Blob: []byte("last")}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucketName)})
	if err != nil || len(out.Contents) != 2 {
		t.Errorf("%d blobs are left, %v; want the memory and the one before", len(out.Contents), err)
	}
}

// checkKilled checks what killed writers left, and returns the number of rows.
func checkKilled(t *testing.T, j journal.Store, said map[string]bool) int {
	t.Helper()
	page, err := j.Rows(t.Context(), source, 0, 10_000_000)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for i, r := range page.Rows {
		if r.ID != page.Head.Oldest+int64(i) {
			t.Fatalf("row %d has the id %d: the journal begins at %d", i, r.ID, page.Head.Oldest)
		}
		if first, ok := strings.CutSuffix(r.Path, ".0"); ok && (i+1 == len(page.Rows) || page.Rows[i+1].Path != first+".1") {
			t.Errorf("the write of %s is torn", r.Path)
		}
		if there[r.Path] {
			t.Errorf("%s is there twice", r.Path)
		}
		there[r.Path] = true
	}
	for p := range said {
		if !there[p] {
			t.Errorf("the write of %s had returned and is lost", p)
		}
	}
	if page.Head.Newest != page.Head.Oldest+int64(len(page.Rows))-1 || len(said) < 16 {
		t.Errorf("head %+v, %d rows, %d writes returned", page.Head, len(page.Rows), len(said))
	}
	return len(page.Rows)
}

// killNoter starts a child, kills it a moment after it has said some numbers,
// and returns all that it said.
func killNoter(t *testing.T, writer, table, place string) (said []string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killWriter+"="+writer, killTable+"="+table, killBucket+"="+place)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	lines := bufio.NewReader(out)
	for range 1 + rand.IntN(10) {
		if line, err := lines.ReadString('\n'); err == nil {
			said = append(said, strings.TrimSpace(line))
		}
	}
	time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond) // only chooses the moment of the kill
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	rest, _ := io.ReadAll(lines)
	for line := range strings.Lines(string(rest)) {
		if n, whole := strings.CutSuffix(line, "\n"); whole {
			said = append(said, n)
		}
	}
	_ = cmd.Wait() // "signal: killed"
	return said
}
