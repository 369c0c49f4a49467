package cloudtest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// logPage is how many events a response has. That of CloudWatch Logs has up to 10,000.
const logPage = 50

// logEvent is an event of a log group.
type logEvent struct {
	ID      string `json:"eventId"`
	At      int64  `json:"timestamp"` // milliseconds
	Message string `json:"message"`
}

// AddLog adds a line to a log group.
func (s *Server) AddLog(group string, at time.Time, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appendLog(group, at.UnixMilli(), message)
}

func (s *Server) appendLog(group string, at int64, message string) {
	s.logs[group] = append(s.logs[group], logEvent{fmt.Sprintf("%s-%d", group, len(s.logs[group])), at, message})
}

func (s *Server) putLogEvents(body []byte) (any, error) {
	var in struct {
		LogGroupName string
		LogEvents    []struct {
			Timestamp int64
			Message   string
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	last := int64(0)
	for _, e := range in.LogEvents {
		if e.Timestamp < last {
			return nil, awsError{400, "InvalidParameterException", "log events must be in chronological order"}
		}
		last = e.Timestamp
		s.appendLog(in.LogGroupName, e.Timestamp, e.Message)
	}
	return struct{}{}, nil
}

// filterLogEvents returns pages of the events between two times. It ignores the pattern,
// as other emulators do.
func (s *Server) filterLogEvents(body []byte) (any, error) {
	var in struct {
		LogGroupName, NextToken string
		StartTime, EndTime      int64
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	matching := []logEvent{}
	for _, e := range s.logs[in.LogGroupName] {
		if e.At >= in.StartTime && (in.EndTime == 0 || e.At <= in.EndTime) {
			matching = append(matching, e)
		}
	}
	from, _ := strconv.Atoi(in.NextToken) // none is 0
	from = min(from, len(matching))
	to := min(from+logPage, len(matching))
	out := map[string]any{"events": matching[from:to]}
	if to < len(matching) {
		out["nextToken"] = strconv.Itoa(to)
	}
	return out, nil
}
