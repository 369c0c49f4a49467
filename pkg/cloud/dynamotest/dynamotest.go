// Package dynamotest is DynamoDB in this process, for tests: minidyn, and what it
// leaves out.
package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/truora/minidyn/server"

	"chefsync/pkg/cloud/awsclient"
)

// Handler returns a fake of DynamoDB without tables.
func Handler() http.Handler { return refuseEmptyKeys(serializeRequests(server.NewServer())) }

// refuseEmptyKeys refuses queries with an empty string, as DynamoDB does for the values of
// keys, which are all that the queries of these tests have.
func refuseEmptyKeys(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Query") {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		var query struct {
			Values map[string]struct{ S *string } `json:"ExpressionAttributeValues"`
		}
		if err == nil {
			err = json.Unmarshal(body, &query)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for name, v := range query.Values {
			if v.S != nil && *v.S == "" {
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprintf(w, `{"__type":"com.amazon.coral.validate#ValidationException","message":"the key value %s is empty"}`, name)
				return
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// serializeRequests passes one request at a time to a handler, because minidyn reads parts
// of its tables without its lock, and adds the checksum of DynamoDB to each response,
// which clients verify.
func serializeRequests(dynamo http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := httptest.NewRecorder()
		mu.Lock()
		dynamo.ServeHTTP(response, r)
		mu.Unlock()
		maps.Copy(w.Header(), response.Header())
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(response.Body.Bytes())), 10))
		w.WriteHeader(response.Code)
		_, _ = w.Write(response.Body.Bytes()) // the client may have disconnected
	})
}

// Start starts a fake of DynamoDB until the test ends, and returns a client of it.
func Start(t testing.TB) *dynamodb.Client {
	t.Helper()
	srv := httptest.NewServer(Handler())
	t.Cleanup(srv.Close)
	cfg, err := awsclient.LoadConfig(t.Context(), config.WithRegion("us-east-1"), config.WithBaseEndpoint(srv.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	return dynamodb.NewFromConfig(cfg)
}

// Table returns the definition of a table with two keys of type string, billed on demand.
func Table(name, partitionKey, sortKey string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &partitionKey, AttributeType: types.ScalarAttributeTypeS}, {AttributeName: &sortKey, AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: &partitionKey, KeyType: types.KeyTypeHash}, {AttributeName: &sortKey, KeyType: types.KeyTypeRange},
		},
	}
}

// Fill puts items in a table. Each attribute is written as in {"S": "text"}, with text, a
// number as text (N), or bytes as base64 (B).
func Fill(t testing.TB, client *dynamodb.Client, table string, items []map[string]Attribute) {
	t.Helper()
	for _, item := range items {
		in := &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{}}
		for name, v := range item {
			switch {
			case v.S != nil:
				in.Item[name] = &types.AttributeValueMemberS{Value: *v.S}
			case v.N != nil:
				in.Item[name] = &types.AttributeValueMemberN{Value: *v.N}
			default:
				in.Item[name] = &types.AttributeValueMemberB{Value: v.B}
			}
		}
		if _, err := client.PutItem(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// Attribute is an attribute of an item as written in a file.
type Attribute struct {
	S, N *string
	B    []byte
}
