// Sync is the function that does one pass for one pair. The manager sends it a
// cloud.SyncEvent; so do scans, pushes and people.
package main

import (
	"chefsync/functions/internal/environment"
	"chefsync/functions/sync"
)

func main() {
	environment.Main(func(e *environment.Environment) any { return sync.New(e).Handle })
}
