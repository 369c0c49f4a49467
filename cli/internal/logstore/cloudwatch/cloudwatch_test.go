package cloudwatch

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"chefsync/cli/internal/logstore"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
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

// TestAStreamWhoseCreationGotNoResponseIsWritten: a second attempt finds it there.
func TestAStreamWhoseCreationGotNoResponseIsWritten(t *testing.T) {
	created, written := 0, 0
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation == "PutLogEvents" {
			written++
			_, _ = io.WriteString(w, "{}")
			return
		}
		if created++; created == 1 { // it was done, and the response is lost
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Amzn-Errortype", "ResourceAlreadyExistsException")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(there.Close)
	cfg, err := cloudtest.Config(t.Context(), there.URL)
	if err != nil {
		t.Fatal(err)
	}
	l := New(cfg, cloud.Resources{ManagerLog: "g"}, "me", nil, nil)
	for range 2 {
		if err := l.Append(t.Context(), []logstore.Line{{Message: "m"}}); err != nil {
			t.Error(err)
		}
	}
	if created != 2 || written != 2 {
		t.Errorf("%d creations and %d writes, want 2 of each", created, written)
	}
}
