// Changes is the function that scans a primary without updated_since. The manager
// sends it a cloud.ChangesEvent.
package main

import (
	"chefsync/functions/changes"
	"chefsync/functions/internal/environment"
)

func main() {
	environment.Main(func(e *environment.Environment) any { return changes.New(e).Handle })
}
