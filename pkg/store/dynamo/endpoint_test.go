package dynamo_test

import (
	"os"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"chefsync/pkg/cloud/awsclient"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/storetest"
)

// Variables of the environment.
const (
	// endpointName names the URL of a DynamoDB that the suites are to run against
	// too. Its tables are made and deleted.
	endpointName = "CHEFSYNC_AWS_ENDPOINT"
	// oneAtATime is set for servers that several requests at once break, such as
	// moto 5.2.1. It passes the suites except for this: it checks a condition and writes
	// in two steps, so two takers win a lease; and a transaction that is refused puts
	// the table back to how it was, so what others wrote meanwhile is gone.
	oneAtATime = "CHEFSYNC_AWS_ONE_AT_A_TIME"
)

// newEndpointClient returns a client of the DynamoDB that the environment names, and what
// tests send their requests to, or skips the test.
func newEndpointClient(t *testing.T) (*dynamodb.Client, dynamo.API) {
	t.Helper()
	url := os.Getenv(endpointName)
	if url == "" {
		t.Skipf("SKIPPED: %s isn't set", endpointName)
	}
	cfg, err := awsclient.LoadConfig(t.Context(), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	c := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.BaseEndpoint = aws.String(url)
		o.DisableValidateResponseChecksum = true
	})
	if os.Getenv(oneAtATime) == "" {
		return c, c
	}
	var mu sync.Mutex
	return c, &recordingAPI{API: c, before: func(string) error { mu.Lock(); return nil }, done: mu.Unlock}
}

func TestAgainstAnEndpoint(t *testing.T) {
	c, api := newEndpointClient(t)
	storetest.RunSuites(t, func(t *testing.T) func() store.KV {
		table := createTable(t, c)
		return func() store.KV { return dynamo.Open(api, table) }
	})
}
