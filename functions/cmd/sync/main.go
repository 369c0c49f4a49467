// Sync is the function that runs one pass for one pair. The manager, scans, pushes and
// operators send it a cloud.SyncEvent.
package main

import (
	"chefsync/functions/internal/environment"
	"chefsync/functions/sync"
)

func main() {
	environment.Main(func(e *environment.Environment) any { return sync.New(e).Handle })
}
