package dynamostate_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage/s3stage"
	"chefsync/pkg/state/dynamostate"
)

// bucket is an S3 bucket in this process, with its client.
func bucket(t *testing.T) (*s3.Client, string) {
	t.Helper()
	srv := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(srv.Close)
	return bucketAt(t, srv.URL, "test", "test")
}

// bucketAt makes a bucket.
func bucketAt(t *testing.T, endpoint, key, secret string) (*s3.Client, string) {
	t.Helper()
	c := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	name := fmt.Sprintf("chefsync-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return c, name
}

// TestTheStateOnBoth keeps a large inventory in a table and a bucket, as it is
// deployed.
func TestTheStateOnBoth(t *testing.T) {
	c, name := bucket(t)
	onBoth(t, dynamotest.Start(t), c, name)
}

// s3EndpointName names the URL of an S3 server, which goes with the table of
// endpointName. A bucket is made and deleted; the credentials are those of the
// environment.
const s3EndpointName = "CHEFSYNC_S3_ENDPOINT"

func TestTheStateOnBothAgainstAnEndpoint(t *testing.T) {
	table, _ := endpoint(t)
	url := os.Getenv(s3EndpointName)
	if url == "" {
		t.Skipf("SKIPPED: %s isn't set", s3EndpointName)
	}
	c, name := bucketAt(t, url, os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"))
	onBoth(t, table, c, name)
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &name}); err != nil {
		t.Error(err)
	}
}

func onBoth(t *testing.T, table *dynamodb.Client, c *s3.Client, name string) {
	tableName := createTable(t, table)
	open := func() *dynamostate.State {
		return dynamostate.Open(table, tableName, s3stage.OpenBlobs(c, name, "state/"))
	}
	s := open()
	st, err := s.Acquire(t.Context(), engineering(), "me", noon(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{10_000, 11_000, 12_000} {
		if err := s.Commit(t.Context(), engineering(), st.Lease.Fence, noon(), replication.Update{Applied: many(n)}); err != nil {
			t.Fatal(err)
		}
		got, err := open().Inventory(t.Context(), engineering())
		if err != nil || len(got) != n {
			t.Fatalf("%d objects, %v; want %d", len(got), err, n)
		}
	}
	out, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &name})
	if err != nil || len(out.Contents) != 2 {
		t.Fatalf("%d objects in the bucket, %v; want the inventory and the one before", len(out.Contents), err)
	}
	t.Logf("an inventory of 12,000 objects: %s, %d bytes", *out.Contents[1].Key, *out.Contents[1].Size)

	// Somebody empties the bucket: an error with a hint, never an empty inventory.
	for _, o := range out.Contents {
		if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = dynamostate.Open(table, tableName, s3stage.OpenBlobs(c, name, "state/"), dynamostate.WithSleep(noSleep)).Inventory(t.Context(), engineering())
	if replication.ClassOf(err) != replication.Local || replication.HintOf(err) == "" {
		t.Errorf("%v of class %s, want local with a hint", err, replication.ClassOf(err))
	}
}
