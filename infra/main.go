// Infra is the CDK app of Chef Replication: it turns the configuration file into
// one CloudFormation stack, or writes the template that fits all configurations.
// README.md says how to deploy them.
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
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"chefsync/infra/chefsync"
	"chefsync/pkg/config"
)

func main() {
	err := synthesize(os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	closeRuntime()
	if err != nil {
		os.Exit(1)
	}
}

// closeRuntime ends jsii's Node process. Two goroutines of jsii wait for it then, and the
// second one reports "exited abnormally: waitid: no child processes" on standard error.
func closeRuntime() {
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = null
	}
	jsii.Close()
}

// synthesize synthesizes the stack in the current folder, which is that of cdk.json. Jsii
// panics with the exceptions of CDK, whose first line is the message.
func synthesize(log io.Writer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			message, _, _ := strings.Cut(fmt.Sprint(r), "\n")
			err = fmt.Errorf("synthesize the stack: %s", message)
		}
	}()
	context, err := readContext("cdk.json")
	if err != nil {
		return err
	}
	request, err := readRequest(os.Getenv("CDK_CONTEXT_JSON"))
	if err != nil {
		return err
	}
	if request.Release != "" {
		return writeRelease(log, context, request.Release, request.Architecture)
	}
	app := awscdk.NewApp(&awscdk.AppProps{Context: &context})
	if request.removesStack() {
		err = addRemoved(app, request)
	} else {
		err = addDeployed(app, request, log)
	}
	if err != nil {
		return err
	}
	app.Synth(nil)
	return nil
}

// addDeployed adds the stack of a configuration.
func addDeployed(app awscdk.App, o buildRequest, log io.Writer) error {
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
	chefsync.NewStack(app, deployEnvironment(c.AWS), &chefsync.Props{Config: c, Code: func(function string) awslambda.Code {
		return awslambda.Code_FromAsset(jsii.String(code[function]), nil)
	}})
	return nil
}

// deployEnvironment returns the account and region. The account is that of the
// credentials of the cdk command; without it the template fits any account.
func deployEnvironment(a config.AWS) *awscdk.Environment {
	e := &awscdk.Environment{}
	if account := os.Getenv("CDK_DEFAULT_ACCOUNT"); account != "" {
		e.Account = &account
	}
	region := a.Region
	if region == "" {
		region = os.Getenv("CDK_DEFAULT_REGION")
	}
	if region != "" {
		e.Region = &region
	}
	return e
}

// addRemoved adds an almost empty stack: the cdk command needs only its name, account and
// region to remove it. The configuration may be missing or invalid.
func addRemoved(app awscdk.App, o buildRequest) error {
	a := config.AWS{Stack: o.Stack}
	if a.Stack == "" {
		c, err := config.Loader{}.Load(o.Config)
		if err != nil {
			return fmt.Errorf("%w; or name the stack: make destroy STACK=NAME", err)
		}
		a = c.AWS
	}
	removed := awscdk.NewStack(app, &a.Stack, &awscdk.StackProps{StackName: &a.Stack, Env: deployEnvironment(a), AnalyticsReporting: jsii.Bool(false)})
	awscdk.NewCfnWaitConditionHandle(removed, jsii.String("Nothing"), nil) // a template must have a resource
	return nil
}

// buildRequest is the arguments of the cdk command, -c NAME=VALUE.
type buildRequest struct {
	Config string `json:"config"` // the file
	// Remove is "true" to remove the stack that Stack names, or that of the file.
	Remove string `json:"remove"`
	Stack  string `json:"stack"`
	// Release is the folder to write the template and the functions to that deploy.sh
	// deploys, and Architecture is theirs. Nothing is synthesized for Config then.
	Release      string `json:"release"`
	Architecture string `json:"architecture"`
}

func (o buildRequest) removesStack() bool { return o.Remove == "true" }

// readRequest reads the context that the cdk command passes in a variable. CDK knows it
// too, but takes seconds to start.
func readRequest(context string) (buildRequest, error) {
	o := buildRequest{Config: config.FileName, Architecture: config.ARM64}
	if context == "" {
		return o, nil
	}
	if err := json.Unmarshal([]byte(context), &o); err != nil {
		return o, fmt.Errorf("read CDK_CONTEXT_JSON: %w", err)
	}
	return o, nil
}

// readConfig reads a configuration as the functions do, without defaults from outside the
// file, and refuses one that they couldn't use.
func readConfig(path string) (*config.Config, error) {
	if filepath.Ext(path) != ".toml" {
		// Uploaded files keep their extension, and the manager may read this one only.
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
