package cloudtest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Event is an event that was published to EventBridge.
type Event struct {
	EventBusName, Source, DetailType, Detail string
}

// Events returns the events that were published, in order.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// maxEvent is how many bytes an event may have.
const maxEvent = 256 << 10

func (s *Server) putEvents(body []byte) (any, error) {
	var in struct{ Entries []Event }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if len(in.Entries) == 0 || len(in.Entries) > 10 || len(body) > maxEvent {
		return nil, awsError{400, "ValidationException", "there must be 1 to 10 entries of at most 256 KB"}
	}
	failed, results := 0, []map[string]string{}
	for _, e := range in.Entries {
		if strings.HasPrefix(e.Source, "aws.") || e.DetailType == "" || !json.Valid([]byte(e.Detail)) {
			failed++
			results = append(results, map[string]string{"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."})
			continue
		}
		s.events = append(s.events, e)
		results = append(results, map[string]string{"EventId": strconv.Itoa(len(s.events))})
	}
	return map[string]any{"FailedEntryCount": failed, "Entries": results}, nil
}

// eventBusOf returns the event bus of a request.
func eventBusOf(body []byte) string {
	var in struct{ Entries []Event }
	if json.Unmarshal(body, &in) != nil || len(in.Entries) == 0 {
		return ""
	}
	return in.Entries[0].EventBusName
}
