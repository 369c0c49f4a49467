package cloud

import (
	"strings"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// The triggers of a pass, as in its run record.
const (
	TriggerSchedule = replication.TriggerSchedule // by time; waits after failures
	TriggerScan     = replication.TriggerScan     // a scan found changes; waits likewise
	TriggerPush     = replication.TriggerPush     // a change was pushed; waits likewise
	TriggerManual   = replication.TriggerManual   // an operator
)

// RecordEvery is the least time between the records of polls without changes: a write
// for each would be a quarter of the cost of a pair.
const RecordEvery = 4 * time.Minute

// DispatchEvery is how often the manager starts what is due, and so the shortest
// interval on AWS: EventBridge fires no rule more often.
const DispatchEvery = time.Minute

// ManagerEvery is how often the manager assesses all pairs and writes metrics.
const ManagerEvery = 5 * time.Minute

// What a sync event asks for.
const (
	TaskPass   = ""       // one pass
	TaskVerify = "verify" // read both sides and compare them
	// TaskDoctor checks whether the servers of the pair can be reached from where the
	// function runs.
	TaskDoctor = "doctor"
	// TaskProbe records whether the servers of all pairs answer. It names no pair.
	TaskProbe = "probe"
)

// SyncEvent is what functions/sync is sent.
type SyncEvent struct {
	Pair    replication.PairID  `json:"pair,omitzero"`
	Task    string              `json:"task,omitempty"`
	Trigger replication.Trigger `json:"trigger,omitempty"` // "" means TriggerManual
	Full    bool                `json:"full,omitempty"`    // a full comparison that reads both sides
}

// SyncResult is the result of functions/sync. A failure of a server or an object is part
// of it, since it is recorded and the next pass tries again; only an invalid event or
// an unreadable table is an error of the function.
type SyncResult struct {
	Run      *replication.Run `json:"run,omitempty"`      // of a pass
	Equal    *bool            `json:"equal,omitempty"`    // of a verification
	Checks   []Check          `json:"checks,omitempty"`   // of a doctor
	Error    string           `json:"error,omitempty"`    // why it failed
	Hint     string           `json:"hint,omitempty"`     // what to try
	Class    fault.Class      `json:"class,omitempty"`    // of the failure
	Differ   int              `json:"differ,omitempty"`   // of a verification: objects that differ
	Repaired int              `json:"repaired,omitempty"` // of a verification: of them, repaired
}

// Check is the result of one check of TaskDoctor.
type Check struct {
	Name   string `json:"name"`   // such as "primary"
	Status string `json:"status"` // ok, warning, failed
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// The states of a Check.
const (
	CheckOK      = "ok"
	CheckWarning = "warning"
	CheckFailed  = "failed"
)

// What a manager event asks for.
const (
	// TaskDispatch starts the passes and scans that are due, and does TaskManage when
	// that is due.
	TaskDispatch = "dispatch"
	// TaskManage assesses all pairs, writes metrics, and starts verifications and
	// probes of servers.
	TaskManage = "manage"
)

// ManagerEvent is what functions/manager is sent by its rule or by an operator.
// CloudFormation sends it its own events too; see ConfigurationResource.
type ManagerEvent struct {
	Task string `json:"task"`
}

// ChangesEvent is what functions/changes is sent: scan a source organization.
type ChangesEvent struct {
	Source  string              `json:"source"` // name of an organization of the primary
	Trigger replication.Trigger `json:"trigger,omitempty"`
}

// ChangesResult is the result of functions/changes.
type ChangesResult struct {
	Source  string    `json:"source"`
	Changes int       `json:"changes"` // rows written
	Newest  int64     `json:"newest"`  // id of the newest row
	Busy    bool      `json:"busy,omitempty"`
	Partial int       `json:"partial,omitempty"` // lists and objects that could not be read
	Ended   time.Time `json:"ended"`
	Error   string    `json:"error,omitempty"`
	Hint    string    `json:"hint,omitempty"`
}

// EventSource is the source of the events that the manager publishes to EventBridge.
// infra/README.md describes them.
const EventSource = "chef-sync"

// DetailType returns the detail type of the event that a status began: Replication Held,
// say, or Replication Recovered if it ended.
func DetailType(s replication.Status, ended bool) string {
	if ended {
		return "Replication Recovered"
	}
	return "Replication " + strings.ToUpper(string(s[:1])) + string(s[1:])
}

// ConfigurationResource is the type of the custom resource that deploys a
// configuration. The manager handles it: it reads the object that the properties Bucket
// and Key name, and stores it under ConfigKey unless it is invalid. When the resource is
// deleted it empties the bucket whose ARN the property EmptyBucket names, if there is
// one: the stack's.
const ConfigurationResource = "Custom::ChefSyncConfiguration"

// Properties that the resource has in a stack from the released template, where
// parameters take the place of the table [aws]: their values, in seconds, and the key of the
// manager's program, so that another version of it checks the configuration, too.
const (
	TimeoutProperty  = "Timeout"
	AlarmAgeProperty = "AlarmAge"
	ProgramProperty  = "Program"
)
