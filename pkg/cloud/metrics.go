package cloud

// The namespace of all metrics, and their one dimension, whose value is the stack.
const (
	MetricNamespace = "ChefSync"
	MetricDimension = "Stack"
)

// The ages in seconds that alarms watch, the greatest of the stack.
const (
	// MetricOldestGoodPassAge is the time since the last pass of a pair that applied
	// all changes, or used up its time on a copy that the next pass continues.
	MetricOldestGoodPassAge = "OldestGoodPassAge"
	// MetricOldestGoodScanAge is the time since a scan read all of a source
	// organization whose changes are found by scans. It grows while scans fail, or can't
	// read one kind, and while there are none; 0 without such a source.
	MetricOldestGoodScanAge = "OldestGoodScanAge"
)

// MetricNames returns the metrics that the functions write, by function, each sorted.
// Alarms and the dashboard use no others.
func MetricNames() map[string][]string {
	return map[string][]string{
		ManagerFunction: {"Blocked", "Held", MetricOldestGoodPassAge, MetricOldestGoodScanAge, "OldestSuccessAge", "Overdue", "Pairs",
			"Pending", "Retrying", "Stopped", "Synced", "Unsynced", "Waiting"},
		SyncFunction:    {"Applied", "Deleted", "Failed", "PassMilliseconds", "UploadedBytes"},
		ChangesFunction: {"Noted", "ScanMilliseconds"},
		WebFunction:     {"Refused"},
	}
}
