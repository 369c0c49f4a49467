package dynamostate_test

import (
	"testing"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/journal/journaltest"
	"chefsync/pkg/stage/s3stage"
	"chefsync/pkg/state/dynamostate"
)

func TestJournals(t *testing.T) {
	c := dynamotest.Start(t)
	journaltest.Run(t, func(t *testing.T) func() journal.ScanStore {
		table, blobs := createTable(t, c), &memory{}
		return func() journal.ScanStore { return dynamostate.Open(c, table, blobs).Journals() }
	})
}

// TestJournalsOnBoth keeps the scanners' memory in a bucket, as it is deployed.
func TestJournalsOnBoth(t *testing.T) {
	c := dynamotest.Start(t)
	journaltest.Run(t, func(t *testing.T) func() journal.ScanStore {
		table := createTable(t, c)
		objects, name := bucket(t)
		return func() journal.ScanStore {
			return dynamostate.Open(c, table, s3stage.OpenBlobs(objects, name, "state/")).Journals()
		}
	})
}

func TestJournalsAgainstAnEndpoint(t *testing.T) {
	c, api := endpoint(t)
	journaltest.Run(t, func(t *testing.T) func() journal.ScanStore {
		table, blobs := createTable(t, c), &memory{}
		return func() journal.ScanStore { return dynamostate.Open(api, table, blobs).Journals() }
	})
}
