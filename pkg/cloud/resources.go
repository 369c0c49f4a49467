package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// Where things lie in the stack's bucket. Only what is below StagePrefix may
// expire.
const (
	StagePrefix = "stage/"
	// StatePrefix is where the previous version kept large parts of its records.
	StatePrefix = "state/"
	// ConfigKey is the configuration that the functions use. Only the manager
	// writes it, when a deployment brings another one.
	ConfigKey = "config/chef-sync.toml"
)

// What the functions of a stack are called: STACK-sync and so on.
const (
	SyncFunction    = "sync"
	ManagerFunction = "manager"
	ChangesFunction = "changes"
	// WebFunction answers requests to the journal's URL and does nothing else: requests
	// from outside take nothing from scans.
	WebFunction = "web"
)

// Resources are the names of what a stack consists of.
type Resources struct {
	Stack  string
	Region string
	Table  string
	Bucket string
	// Sync, Manager, Changes and Web are names of functions; Changes is "" for a
	// stack without a journal, Web for one whose journal has no URL.
	Sync, Manager, Changes, Web string
	// SyncLog, ManagerLog, ChangesLog and WebLog are their log groups.
	SyncLog, ManagerLog, ChangesLog, WebLog string
	// ChangesURL is where a data collector posts to and updated_since is served.
	ChangesURL string
	// DeadLetters is the URL of the queue of events that no function took.
	DeadLetters string
}

// field joins a resource to its output and its environment variable.
type field struct {
	output string
	value  *string
}

func (r *Resources) fields() []field {
	return []field{
		{"Stack", &r.Stack},
		{"Region", &r.Region},
		{"Table", &r.Table},
		{"Bucket", &r.Bucket},
		{"SyncFunction", &r.Sync},
		{"ManagerFunction", &r.Manager},
		{"ChangesFunction", &r.Changes},
		{"WebFunction", &r.Web},
		{"SyncLog", &r.SyncLog},
		{"ManagerLog", &r.ManagerLog},
		{"ChangesLog", &r.ChangesLog},
		{"WebLog", &r.WebLog},
		{"ChangesUrl", &r.ChangesURL},
		{"DeadLetters", &r.DeadLetters},
	}
}

// OutputNames are the names of the outputs of a stack, sorted.
func OutputNames() []string {
	var r Resources
	var names []string
	for _, f := range r.fields() {
		if f.output != "Stack" && f.output != "Region" {
			names = append(names, f.output)
		}
	}
	slices.Sort(names)
	return names
}

// FromOutputs reads the outputs of a stack. Outputs that it doesn't know are
// none of its business; the table and the bucket must be there.
func FromOutputs(stack, region string, outputs map[string]string) (Resources, error) {
	r := Resources{}
	for _, f := range r.fields() {
		*f.value = outputs[f.output]
	}
	r.Stack, r.Region = stack, region
	if r.Table == "" || r.Bucket == "" {
		return Resources{}, fmt.Errorf("stack %s has no outputs Table and Bucket: it isn't a stack of Chef Replication", stack)
	}
	return r, nil
}

// EnvPrefix begins the environment variables of the functions.
const EnvPrefix = "CHEF_SYNC_"

// EnvName is the environment variable that tells a function the resource of an
// output, such as CHEF_SYNC_SYNC_FUNCTION for SyncFunction.
func EnvName(output string) string {
	var b strings.Builder
	b.WriteString(EnvPrefix)
	for i, c := range output {
		if i > 0 && c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToUpper(string(c)))
	}
	return b.String()
}

// FromEnvironment reads what a function is told of its stack. A function is told
// what it needs and no more; the stack, the table and the bucket are told to all.
func FromEnvironment(env func(string) (string, bool)) (Resources, error) {
	r := Resources{}
	for _, f := range r.fields() {
		*f.value, _ = env(EnvName(f.output))
	}
	if region, ok := env("AWS_REGION"); ok && r.Region == "" {
		r.Region = region
	}
	for _, needed := range []field{{"Stack", &r.Stack}, {"Table", &r.Table}, {"Bucket", &r.Bucket}} {
		if *needed.value == "" {
			return Resources{}, fmt.Errorf("the environment variable %s isn't set: the stack sets it", EnvName(needed.output))
		}
	}
	return r, nil
}

// Environment is what FromEnvironment reads: the variables of the resources that
// aren't "".
func (r Resources) Environment() map[string]string {
	vars := map[string]string{}
	for _, f := range r.fields() {
		if *f.value != "" {
			vars[EnvName(f.output)] = *f.value
		}
	}
	return vars
}
