// Web is the function of the change log's URL: it receives what Chef Servers push, and
// serves the change log as updated_since.
package main

import (
	"chefsync/functions/internal/environment"
	"chefsync/functions/web"
)

func main() {
	environment.Main(func(e *environment.Environment) any { return web.New(e).Handle })
}
