package stack

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"chefsync/pkg/config"
	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

// functions/changes tells of scans by the journal's word for the source, and of
// other things by its name.
func TestTheLogOfAPairHoldsTheScansOfItsSource(t *testing.T) {
	id := replication.PairID{Replica: "eu", Org: "acme"}
	pair := config.PairConfig{Pair: replication.Pair{ID: id, SourceOrg: "acme", Space: "acme-329dd42a"}}
	l := (&Stack{Config: aws.Config{Region: "us-east-1"}}).Logs([]config.PairConfig{pair}, nil)
	for source, want := range map[string]bool{"acme": true, "acme-329dd42a": true, "lab": false, "": false} {
		attrs, err := json.Marshal(map[string]string{"source": source})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.selects(state.LogQuery{Pair: id}, state.LogLine{Attrs: attrs}); got != want {
			t.Errorf("a line of source %q: shown %v, want %v", source, got, want)
		}
	}
}
