package app

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/stack"
	"chefsync/pkg/cloud"
)

// NamedStack stands for the stack that the configuration file names.
const NamedStack = "."

// openStack opens a deployed stack. The configuration that counts is the deployed
// one; a file gives the region at most, and the name where that is asked of it.
func openStack(ctx context.Context, o Options) (*App, error) {
	name, region, err := o.stackName()
	if err != nil {
		return nil, err
	}
	a := &App{AWS: o.openAWS(region), loader: o.configLoader(), owner: o.ownerName()}
	if a.Stack, err = a.AWS.Open(ctx, name, o.Table); err != nil {
		return nil, err
	}
	backend := a.Stack.Backend()
	c, _, err := backend.Configuration(ctx, "")
	if err != nil {
		return nil, err
	}
	a.Fleet = a.newFleet(c, backend, o)
	if o.ConfigPath != "" && o.Note != nil {
		if same, err := isDeployed(ctx, backend, a.Stack.Bucket, o.ConfigPath); err == nil && !same {
			o.Note(fmt.Sprintf("%s differs from the configuration deployed to %s; using the deployed one", o.ConfigPath, name))
		}
	}
	return a, nil
}

// isDeployed reports whether a file is the configuration that is deployed.
func isDeployed(ctx context.Context, b stack.Backend, bucket, path string) (bool, error) {
	local, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	there, err := b.ReadUpload(ctx, bucket, cloud.ConfigKey)
	return bytes.Equal(local, there), err
}

// stackName is the name of the stack, and the region that a configuration file of
// that stack says.
func (o Options) stackName() (name, region string, err error) {
	path, notFound := FindConfig(o.ConfigPath)
	c, err := o.configLoader().Load(path)
	switch {
	case o.Stack != NamedStack && (err != nil || c.AWS.Stack != o.Stack):
		return o.Stack, "", nil // a stack needs no file
	case notFound != nil:
		return "", "", notFound
	case err != nil:
		return "", "", exit.With(exit.Usage, err, "name the stack: --stack NAME")
	}
	return c.AWS.Stack, c.AWS.Region, nil
}
