package cloudwatch

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"chefsync/cli/internal/logstore"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

// functions/changes tells of scans by the change log's word for the source, and of
// other things by its name.
func TestTheLogOfAPairHoldsTheScansOfItsSource(t *testing.T) {
	id := replication.PairID{Replica: "eu", Org: "acme"}
	pair := config.PairConfig{Pair: replication.Pair{ID: id, SourceOrg: "acme", Space: "acme-329dd42a"}}
	l := New(aws.Config{Region: "us-east-1"}, cloud.Resources{}, "me", []config.PairConfig{pair}, nil).newReader(logstore.Query{Pairs: []replication.PairID{id}})
	for source, want := range map[string]bool{"acme": true, "acme-329dd42a": true, "lab": false, "": false} {
		attrs, err := json.Marshal(map[string]string{"source": source})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.matchesLine(logstore.Line{Attrs: attrs}); got != want {
			t.Errorf("a line of source %q: shown %v, want %v", source, got, want)
		}
	}
}

// Emulators give events no id: all lines but the first would be taken for known ones.
func TestEventsWithoutAnIDAreToldApart(t *testing.T) {
	id := replication.PairID{Replica: "eu", Org: "acme"}
	l := New(aws.Config{Region: "us-east-1"}, cloud.Resources{}, "me", nil, nil).newReader(logstore.Query{Pairs: []replication.PairID{id}})
	event := func(second int, message string) types.FilteredLogEvent {
		return types.FilteredLogEvent{Timestamp: aws.Int64(int64(second) * 1000), LogStreamName: aws.String("s"),
			Message: aws.String(`{"level":"INFO","msg":"` + message + `","pair":"eu/acme"}`)}
	}
	for n, c := range []struct {
		event types.FilteredLogEvent
		fresh bool
	}{{event(1, "a"), true}, {event(1, "b"), true}, {event(2, "a"), true}, {event(1, "a"), false}, {event(2, "a"), false}} {
		if _, fresh := l.newLine(c.event, logGroup{name: "g", function: "f"}); fresh != c.fresh {
			t.Errorf("event %d: taken for new %v, want %v", n+1, fresh, c.fresh)
		}
	}
}
