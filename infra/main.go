// Infra is the CDK app of Chef Replication: it turns the configuration file into
// one CloudFormation stack. README.md says how to deploy it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"chefsync/pkg/config"
)

func main() {
	err := run(os.Stderr)
	jsii.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run synthesizes the stack in the current folder, which is that of cdk.json.
// Jsii panics with what CDK throws; its first line says what is wrong.
func run(log io.Writer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			what, _, _ := strings.Cut(fmt.Sprint(r), "\n")
			err = fmt.Errorf("synthesize the stack: %s", what)
		}
	}()
	context, err := readContext("cdk.json")
	if err != nil {
		return err
	}
	order, err := readOrder(os.Getenv("CDK_CONTEXT_JSON"))
	if err != nil {
		return err
	}
	app := awscdk.NewApp(&awscdk.AppProps{Context: &context})
	if order.removes() {
		err = addRemoved(app, order)
	} else {
		err = addDeployed(app, order, log)
	}
	if err != nil {
		return err
	}
	app.Synth(nil)
	return nil
}

// addDeployed adds the stack of a configuration.
func addDeployed(app awscdk.App, o order, log io.Writer) error {
	c, err := readConfig(o.Config)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings() {
		fmt.Fprintln(log, "warning:", w)
	}
	code, err := buildFunctions(log, "dist", c.AWS)
	if err != nil {
		return err
	}
	newStack(app, c, code)
	return nil
}

// addRemoved adds a stack that is all but empty, which is all that the cdk command needs
// to remove one: its name, account and region. The configuration may be gone, or
// one that can't be deployed.
func addRemoved(app awscdk.App, o order) error {
	a := config.AWS{Stack: o.Stack}
	if a.Stack == "" {
		c, err := config.Loader{}.Load(o.Config)
		if err != nil {
			return fmt.Errorf("%w; or name the stack: make destroy STACK=NAME", err)
		}
		a = c.AWS
	}
	removed := awscdk.NewStack(app, &a.Stack, &awscdk.StackProps{StackName: &a.Stack, Env: environment(a), AnalyticsReporting: jsii.Bool(false)})
	awscdk.NewCfnWaitConditionHandle(removed, jsii.String("Nothing"), nil) // a template must have a resource
	return nil
}

// order is what the cdk command asks for by -c NAME=VALUE.
type order struct {
	Config string `json:"config"` // the file
	// Remove says that the stack is to be removed: the one of the file, or the one
	// that Stack names.
	Remove string `json:"remove"`
	Stack  string `json:"stack"`
}

func (o order) removes() bool { return o.Remove == "true" }

// readOrder reads the context, which the cdk command hands over in a variable. CDK
// would say it too, but takes seconds to start.
func readOrder(context string) (order, error) {
	o := order{Config: config.FileName}
	if context == "" {
		return o, nil
	}
	if err := json.Unmarshal([]byte(context), &o); err != nil {
		return o, fmt.Errorf("read CDK_CONTEXT_JSON: %w", err)
	}
	return o, nil
}

// readConfig reads a configuration as the functions will: nothing outside the
// file counts. It refuses one that they could not use.
func readConfig(path string) (*config.Config, error) {
	if filepath.Ext(path) != ".toml" {
		// Uploaded files keep their extension, and the manager may only read this one.
		return nil, fmt.Errorf("%s: the name of the configuration must end in .toml", path)
	}
	c, err := config.Loader{}.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; make one with chef-sync-ctl init, or name another with -c config=FILE", err)
	}
	if err != nil {
		return nil, err
	}
	return c, c.CheckAWS()
}

// readContext reads the feature flags, so that the app makes the same template
// whether the cdk command runs it or not.
func readContext(path string) (map[string]any, error) {
	var file struct {
		Context map[string]any `json:"context"`
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the feature flags, in the folder of cdk.json: %w", err)
	}
	return file.Context, nil
}
