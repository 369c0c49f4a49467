package dynamostate

import (
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"chefsync/pkg/replication"
)

// Attributes of the keys and of the time to live.
const (
	keyPK   = "pk"
	keySK   = "sk"
	ttlName = "expires"
)

// Attributes of items. A binary one that is none() counts as absent. Their names are short because DynamoDB bills them with
// every read and write.
const (
	attrSchema   = "v" // N: replication.SchemaVersion of the writer
	attrDesired  = "d" // B: packed Desired
	attrProgress = "p" // B: packed Progress
	attrDetail   = "h" // B: hash of the detail item that belongs to p
	attrOwner    = "o" // S: holder of the lease
	attrLease    = "x" // N: end of the lease, microseconds since 1970; 0 when it is free
	attrFence    = "f" // N: fencing token
	attrCommit   = "t" // B: names the last commit
	attrGen      = "g" // N: generation of the base item
	attrCount    = "n" // N: log items after the base that are valid
	attrBytes    = "b" // N: their size
	attrPending  = "w" // B: packed keys of blobs that a fold may leave behind
	attrRecord   = "r" // B: packed content of any other item
)

// Attributes of a journal's head and rows besides: v, o, x, f, w as above, g for
// the generation of the scanner's memory, r for where it is, t for the name of
// the write that made rows.
const (
	attrEpoch  = "e" // S: of the journal; absent before it has begun
	attrOldest = "a" // N: id of the oldest row
	attrNext   = "i" // N: id of the next row
)

// Sort keys within a pair, and the partitions of the hot items and of the records of
// scans.
const (
	pairsPK  = "pairs"
	scansPK  = "scans"
	detailSK = "detail"
	logSK    = "log#"
	baseSK   = "log#base"
	runSK    = "run#"
)

// Sort keys within a journal. The head sorts behind all rows, so that one query
// from a row on reads it too.
const (
	rowSK  = "row#"
	headSK = "top"
)

// TableDefinition is what a table must have. Whatever else it has (encryption,
// backups, deletion protection) is its owner's choice.
type TableDefinition struct {
	PartitionKey string // a string attribute
	SortKey      string // a string attribute
	TTLAttribute string // epoch seconds; run records expire by it
}

// Definition is the table that [Open] expects. It is billed on demand.
func Definition() TableDefinition {
	return TableDefinition{PartitionKey: keyPK, SortKey: keySK, TTLAttribute: ttlName}
}

// CreateTableInput asks for such a table. Time to live is switched on by a call
// of its own, [TableDefinition.TimeToLiveInput], once the table is active.
func (d TableDefinition) CreateTableInput(table string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(table),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(d.PartitionKey), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(d.SortKey), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(d.PartitionKey), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(d.SortKey), KeyType: types.KeyTypeRange},
		},
	}
}

// TimeToLiveInput switches on the expiry of items.
func (d TableDefinition) TimeToLiveInput(table string) *dynamodb.UpdateTimeToLiveInput {
	return &dynamodb.UpdateTimeToLiveInput{
		TableName:               aws.String(table),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(d.TTLAttribute), Enabled: aws.Bool(true)},
	}
}

// item is an item as the SDK has it.
type item = map[string]types.AttributeValue

func keyOf(pk, sk string) item { return item{keyPK: str(pk), keySK: str(sk)} }

func hotKey(k string) item { return keyOf(pairsPK, k) }

func pairPK(k string) string { return "pair#" + k }

func journalPK(source string) string { return "journal#" + source }

// rowsSK is the sort key of rows written together, of which last is the newest:
// so the rows behind an id are those behind its key.
func rowsSK(last int64) string { return fmt.Sprintf("%s%019d", rowSK, last) }

// deltaSK sorts log items by generation and number.
func deltaSK(gen, n int64) string { return fmt.Sprintf("%s%010d#%06d", logSK, gen, n) }

// maxKey is how long, in bytes, a part of a sort key may be; DynamoDB takes 1,024
// in all.
const maxKey = 900

// name is the name of a pair in keys.
func name(id replication.PairID) (string, error) {
	k := id.String()
	if back, err := replication.ParsePairID(k); err != nil || back != id || len(k) > maxKey || !utf8.ValidString(k) {
		return "", fmt.Errorf("%q is not the name of a pair", k)
	}
	return k, nil
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

func bin(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

// none is the value of a binary attribute that there is nothing to say in. An
// attribute that is set needs no clause of its own to be removed.
func none() []byte { return []byte{0} }
