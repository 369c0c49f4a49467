// Manager is the function that invokes all others and assesses all pairs.
package main

import (
	"chefsync/functions/internal/environment"
	"chefsync/functions/manager"
)

func main() {
	environment.Main(func(e *environment.Environment) any { return manager.New(e).Handle })
}
