package dynamo_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/storetest"
)

func createTable(t *testing.T, c *dynamodb.Client) string {
	t.Helper()
	name := fmt.Sprintf("chefsync-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	d := dynamo.Definition()
	if _, err := c.CreateTable(t.Context(), dynamotest.Table(name, d.PartitionKey, d.SortKey)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: aws.String(name)}); err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestStore(t *testing.T) {
	c := dynamotest.Start(t)
	storetest.RunSuites(t, func(t *testing.T) func() store.KV {
		table := createTable(t, c)
		return func() store.KV { return dynamo.Open(c, table) }
	})
}
