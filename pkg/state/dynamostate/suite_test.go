package dynamostate_test

import (
	"os"
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
	"chefsync/pkg/state/statetest"
)

func TestSuite(t *testing.T) {
	c := emulator(t)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(c, table, blobs) }
	})
}

// TestSuiteWithTinyLimits folds at nearly every commit, keeps nothing in the base
// and nearly all of a progress in the detail item.
func TestSuiteWithTinyLimits(t *testing.T) {
	c := emulator(t)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(c, table, blobs, dynamostate.Tiny()) }
	})
}

func suite(t *testing.T, newStore func(t *testing.T) func() replication.State) {
	statetest.Run(t, newStore)
}

// endpointName names the variable with the URL of a DynamoDB that the suite is to
// run against too. Its tables are made and deleted.
const endpointName = "CHEFSYNC_AWS_ENDPOINT"

func TestSuiteAgainstAnEndpoint(t *testing.T) {
	endpoint := os.Getenv(endpointName)
	if endpoint == "" {
		t.Skipf("SKIPPED: %s isn't set", endpointName)
	}
	c := client(t, endpoint)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(c, table, blobs) }
	})
}
