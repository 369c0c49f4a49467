package cloud

// The namespace of all metrics, and their one dimension, whose value is the stack.
const (
	MetricNamespace = "ChefSync"
	MetricDimension = "Stack"
)

// MetricNames are the metrics that the functions write, by function, each sorted.
// Alarms and the dashboard look at no others.
func MetricNames() map[string][]string {
	return map[string][]string{
		ManagerFunction: {"Blocked", "Held", "OldestSuccessAge", "Overdue", "Pairs", "Pending", "Retrying", "Stopped", "Synced", "Unsynced", "Waiting"},
		SyncFunction:    {"Applied", "Deleted", "Failed", "PassMilliseconds", "UploadedBytes"},
		ChangesFunction: {"Noted", "ScanMilliseconds"},
		WebFunction:     {"Refused"},
	}
}
