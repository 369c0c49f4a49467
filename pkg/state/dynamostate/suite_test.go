package dynamostate_test

import (
	"os"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/dynamostate"
	"chefsync/pkg/state/statetest"
)

func TestSuite(t *testing.T) {
	c := dynamotest.Start(t)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(c, table, blobs) }
	})
}

// TestSuiteWithTinyLimits folds at nearly every commit, keeps nothing in the base
// and nearly all of a progress in the detail item.
func TestSuiteWithTinyLimits(t *testing.T) {
	c := dynamotest.Start(t)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(c, table, blobs, dynamostate.Tiny()) }
	})
}

func suite(t *testing.T, newStore func(t *testing.T) func() replication.State) {
	statetest.Run(t, newStore)
}

// Variables of the environment.
const (
	// endpointName names the URL of a DynamoDB that the suite is to run against
	// too. Its tables are made and deleted.
	endpointName = "CHEFSYNC_AWS_ENDPOINT"
	// oneAtATime is set for servers that several requests at once break, such as
	// moto 5.2.1. It passes the suites but for this: it checks a condition and writes
	// in two steps, so two takers win a lease; and a transaction that is refused puts
	// the table back to how it was, so what others wrote meanwhile is gone.
	oneAtATime = "CHEFSYNC_AWS_ONE_AT_A_TIME"
)

func TestSuiteAgainstAnEndpoint(t *testing.T) {
	c, api := endpoint(t)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(api, table, blobs) }
	})
}

func TestSuiteWithTinyLimitsAgainstAnEndpoint(t *testing.T) {
	c, api := endpoint(t)
	suite(t, func(t *testing.T) func() replication.State {
		table, blobs := createTable(t, c), &memory{}
		return func() replication.State { return dynamostate.Open(api, table, blobs, dynamostate.Tiny()) }
	})
}

// endpoint is the DynamoDB that the environment names, or the end of the test.
func endpoint(t *testing.T) (*dynamodb.Client, dynamostate.API) {
	t.Helper()
	url := os.Getenv(endpointName)
	if url == "" {
		t.Skipf("SKIPPED: %s isn't set", endpointName)
	}
	c := client(t, url)
	if os.Getenv(oneAtATime) == "" {
		return c, c
	}
	var mu sync.Mutex
	return c, &spy{API: c, before: func(string) error { mu.Lock(); return nil }, done: mu.Unlock}
}
