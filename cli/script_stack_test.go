package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/pkg/assembly"
	"chefsync/pkg/assembly/onaws"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/dynamo"
)

// endpointName names an AWS emulator for the scripts on a stack, and
// s3EndpointName another one for S3 if it has a better. Without them the scripts
// have one of their own. The credentials are those of cloudtest.
const (
	endpointName   = "CHEFSYNC_AWS_ENDPOINT"
	s3EndpointName = "CHEFSYNC_S3_ENDPOINT"
)

// stackKey is where a script's stack is kept.
type stackKey struct{}

// deployment is the stack of one script.
type deployment struct {
	cloud.Resources
	aws     aws.Config
	fake    *cloudtest.Server // nil on another emulator
	backend *onaws.Backend
}

// stackNumber tells apart the stacks of one process.
var stackNumber atomic.Int64

// deploy makes a stack for a script, without a configuration yet.
func deploy(ctx context.Context, env *testscript.Env) (*deployment, error) {
	d := &deployment{}
	endpoint := os.Getenv(endpointName)
	if endpoint == "" {
		d.fake = cloudtest.Start()
		env.Defer(d.fake.Close)
		endpoint = d.fake.URL
	}
	for name, value := range cloudtest.Environment(endpoint) {
		env.Setenv(name, value)
	}
	var err error
	if d.aws, err = cloudtest.Config(ctx, endpoint); err != nil {
		return nil, err
	}
	if objects := os.Getenv(s3EndpointName); objects != "" && d.fake == nil {
		env.Setenv("AWS_ENDPOINT_URL_S3", objects)
		d.aws.ConfigSources = append([]any{s3At(objects)}, d.aws.ConfigSources...)
	}
	name := fmt.Sprintf("demo-%d-%d", os.Getpid(), stackNumber.Add(1))
	d.Resources = cloudtest.Resources(name, endpoint)
	d.ChangesURL = "https://changes.lambda-url.us-east-1.on.aws/" // nobody asks it here
	d.backend = onaws.New(d.aws, d.Resources)
	env.Setenv("CHEF_SYNC_STACK", name)
	env.Setenv("STACK", name)
	return d, d.make(ctx)
}

// s3At is to this process what AWS_ENDPOINT_URL_S3 is to the program.
type s3At string

func (a s3At) GetServiceBaseEndpoint(_ context.Context, service string) (string, bool, error) {
	return string(a), service == "S3", nil
}

// make makes what the stack consists of.
func (d *deployment) make(ctx context.Context) error {
	if err := cloudtest.CreateResources(ctx, d.aws, dynamotest.Table(d.Table, dynamo.Definition().PartitionKey, dynamo.Definition().SortKey), d.Bucket); err != nil {
		return err
	}
	for _, name := range []string{d.SyncLog, d.ManagerLog, d.ChangesLog, d.WebLog} {
		if _, err := cloudwatchlogs.NewFromConfig(d.aws).CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}); err != nil {
			return err
		}
	}
	outputs := d.outputs()
	if d.fake != nil {
		d.fake.AddStack(d.Stack, outputs)
		return nil
	}
	template := map[string]any{"Resources": map[string]any{"Any": map[string]any{"Type": "AWS::SQS::Queue"}}}
	values := map[string]any{}
	for name, value := range outputs {
		values[name] = map[string]string{"Value": value}
	}
	template["Outputs"] = values
	text, err := json.Marshal(template)
	if err != nil {
		return err
	}
	_, err = cloudformation.NewFromConfig(d.aws).CreateStack(ctx, &cloudformation.CreateStackInput{StackName: &d.Stack,
		TemplateBody: aws.String(string(text)), Capabilities: []cftypes.Capability{}})
	return err
}

// outputs are the stack's, by the names of package cloud.
func (d *deployment) outputs() map[string]string {
	outputs := map[string]string{}
	vars := d.Environment()
	for _, name := range cloud.OutputNames() {
		if v := vars[cloud.EnvName(name)]; v != "" {
			outputs[name] = v
		}
	}
	return outputs
}

// configure deploys a configuration file: its key files become secrets, since a
// function has no files.
func (d *deployment) configure(ts *testscript.TestScript, file string) {
	ctx := context.Background()
	text := regexp.MustCompile(`"file:([^"]+)"`).ReplaceAllStringFunc(ts.ReadFile(file), func(ref string) string {
		path := strings.TrimSuffix(strings.TrimPrefix(ref, `"file:`), `"`)
		name := d.Stack + "/" + path
		if _, err := os.Stat(ts.MkAbs(path)); err == nil {
			d.keep(ts, name, ts.ReadFile(path))
		}
		return fmt.Sprintf("%q", "secretsmanager:"+name)
	})
	ts.Check(d.backend.StoreConfiguration(ctx, []byte(text)))
	_, _, err := d.backend.Configuration(ctx, "")
	ts.Check(err)
}

// function puts an engine of this process in the place of functions/sync.
func (d *deployment) function(ts *testscript.TestScript, broken bool) {
	d.needFake(ts).AddFunction(d.Sync, func(payload []byte) (any, error) {
		ctx := context.Background()
		var event cloud.SyncEvent
		if err := json.Unmarshal(payload, &event); err != nil || broken {
			return nil, errors.Join(err, errors.New("the table can't be read"))
		}
		fleet, err := d.backend.Open(ctx, assembly.Options{})
		if err != nil {
			return nil, err
		}
		pairs, err := fleet.Select(event.Pair.String())
		if err != nil {
			return nil, err
		}
		engine, err := fleet.Engine(ctx, pairs[0])
		switch {
		case err != nil:
			return cloud.SyncResult{Error: err.Error(), Hint: fault.HintOf(err), Class: fault.ClassOf(err)}, nil
		case event.Task == cloud.TaskDoctor:
			return cloud.SyncResult{Checks: []cloud.Check{{Name: "primary", Status: cloud.CheckFailed, Detail: "no route", Hint: "open the firewall"}}}, nil
		case event.Task == cloud.TaskVerify:
			report, err := engine.Verify(ctx, replication.VerifyOptions{Trigger: event.Trigger})
			if err != nil {
				return cloud.SyncResult{Error: err.Error(), Hint: fault.HintOf(err), Class: fault.ClassOf(err)}, nil
			}
			return cloud.SyncResult{Equal: aws.Bool(report.Equal()), Differ: len(report.Differences)}, nil
		}
		run, err := engine.Pass(ctx, replication.PassOptions{Trigger: event.Trigger, Full: event.Full})
		if err != nil {
			return cloud.SyncResult{Run: &run, Error: err.Error(), Hint: fault.HintOf(err), Class: fault.ClassOf(err)}, nil
		}
		return cloud.SyncResult{Run: &run}, nil
	})
	for _, name := range []string{d.Manager, d.Changes, d.Web} {
		d.needFake(ts).AddFunction(name, func([]byte) (any, error) { return struct{}{}, nil })
	}
}

func (d *deployment) keep(ts *testscript.TestScript, name, value string) {
	client := secretsmanager.NewFromConfig(d.aws)
	if _, err := client.PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value}); err == nil {
		return
	}
	_, err := client.CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	ts.Check(err)
}

// stackCommand is what scripts do to a stack, behind the program's back:
//
//	stack configure FILE            deploy a configuration
//	stack log sync|manager|changes TEXT   a line of a function, as of now
//	stack refuse OPERATION CODE     answer it with an error; "" no longer
//	stack depth N                   N dead letters
//	stack reserved N                N executions reserved for each function
//	stack function ok|broken        what functions/sync answers: what this program's engine does, or an error
//	stack restore TABLE             the table as it is now, as another one
//	stack secret NAME               a secret is there (or not, with !)
func stackCommand(ts *testscript.TestScript, neg bool, args []string) {
	d, ok := ts.Value(stackKey{}).(*deployment)
	if !ok || len(args) < 2 {
		ts.Fatalf("usage, on a stack: stack VERB ARGUMENT...")
	}
	switch args[0] {
	case "configure":
		d.configure(ts, args[1])
	case "log":
		groups := map[string]string{"sync": d.SyncLog, "manager": d.ManagerLog, "changes": d.ChangesLog}
		d.log(ts, groups[args[1]], args[2])
	case "refuse":
		d.needFake(ts).Refuse(args[1], args[2])
	case "depth":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		d.needFake(ts).SetQueueDepth(n)
	case "reserved":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		d.needFake(ts).SetReserved(n)
	case "function":
		d.function(ts, args[1] == "broken")
	case "restore":
		d.restore(ts, args[1])
	case "secret":
		if there := d.needFake(ts).Secret(args[1]) != ""; there == neg {
			ts.Fatalf("secret %s is there: %v", args[1], there)
		}
	default:
		ts.Fatalf("unknown verb %s", args[0])
	}
}

// restore copies the table, as point-in-time recovery makes another one.
func (d *deployment) restore(ts *testscript.TestScript, name string) {
	ctx, client := context.Background(), dynamodb.NewFromConfig(d.aws)
	_, err := client.CreateTable(ctx, dynamotest.Table(name, dynamo.Definition().PartitionKey, dynamo.Definition().SortKey))
	ts.Check(err)
	all := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &d.Table})
	for all.HasMorePages() {
		page, err := all.NextPage(ctx)
		ts.Check(err)
		for _, item := range page.Items {
			_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &name, Item: item})
			ts.Check(err)
		}
	}
}

// needFake is the fake, for what only it can do.
func (d *deployment) needFake(ts *testscript.TestScript) *cloudtest.Server {
	if d.fake == nil {
		ts.Fatalf("this needs the emulator of the tests: guard it with [fake]")
	}
	return d.fake
}

func (d *deployment) log(ts *testscript.TestScript, group, text string) {
	if d.fake != nil {
		d.fake.AddLog(group, time.Now(), text)
		return
	}
	ctx, client, stream := context.Background(), cloudwatchlogs.NewFromConfig(d.aws), fmt.Sprint(time.Now().UnixNano())
	_, err := client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	ts.Check(err)
	_, err = client.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream,
		LogEvents: []logtypes.InputLogEvent{{Message: &text, Timestamp: aws.Int64(time.Now().UnixMilli())}}})
	ts.Check(err)
}
