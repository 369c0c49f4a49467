package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// Keys in the stack's bucket. Only objects below StagePrefix may expire.
const (
	StagePrefix = "stage/"
	// StatePrefix is where the previous version kept large parts of its records.
	StatePrefix = "state/"
	// ConfigKey is the configuration that the functions use. Only the manager
	// writes it, when a deployment brings another one.
	ConfigKey = "config/chef-sync.toml"
)

// The names of the functions of a stack after STACK and a hyphen.
const (
	SyncFunction    = "sync"
	ManagerFunction = "manager"
	ChangesFunction = "changes"
	// WebFunction serves the change log's URL and nothing else, so that requests from outside
	// don't compete with scans.
	WebFunction = "web"
)

// Resources are the names of the resources of a stack.
type Resources struct {
	Stack  string
	Region string
	Table  string
	Bucket string
	// Sync, Manager, Changes and Web are names of functions; Changes is "" for a
	// stack without a change log, Web for one whose change log has no URL.
	Sync, Manager, Changes, Web string
	// SyncLog, ManagerLog, ChangesLog and WebLog are their log groups.
	SyncLog, ManagerLog, ChangesLog, WebLog string
	// ChangesURL is where a data collector posts to and updated_since is served.
	ChangesURL string
	// DeadLetters is the URL of the queue of events that no function processed.
	DeadLetters string
}

// resourceField maps an output to a field of Resources.
type resourceField struct {
	output string
	value  *string
}

// resourceFields returns the fields with their outputs.
func (r *Resources) resourceFields() []resourceField {
	return []resourceField{
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

// OutputNames returns the names of the outputs of a stack, sorted.
func OutputNames() []string {
	var r Resources
	var names []string
	for _, f := range r.resourceFields() {
		if f.output != "Stack" && f.output != "Region" {
			names = append(names, f.output)
		}
	}
	slices.Sort(names)
	return names
}

// FromOutputs returns the resources in the outputs of a stack. It ignores unknown
// outputs; the table and the bucket are required.
func FromOutputs(stack, region string, outputs map[string]string) (Resources, error) {
	r := Resources{}
	for _, f := range r.resourceFields() {
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

// EnvName returns the environment variable for the resource of an output, such as
// CHEF_SYNC_SYNC_FUNCTION for SyncFunction.
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

// FromEnvironment returns the resources in the environment of a function. Each has the
// variables that it needs; those of the stack, the table and the bucket are required.
func FromEnvironment(env func(string) (string, bool)) (Resources, error) {
	r := Resources{}
	for _, f := range r.resourceFields() {
		*f.value, _ = env(EnvName(f.output))
	}
	if region, ok := env("AWS_REGION"); ok && r.Region == "" {
		r.Region = region
	}
	for _, needed := range []resourceField{{"Stack", &r.Stack}, {"Table", &r.Table}, {"Bucket", &r.Bucket}} {
		if *needed.value == "" {
			return Resources{}, fmt.Errorf("the environment variable %s isn't set: the stack sets it", EnvName(needed.output))
		}
	}
	return r, nil
}

// Environment returns the variables that FromEnvironment reads, for the resources that
// aren't "".
func (r Resources) Environment() map[string]string {
	vars := map[string]string{}
	for _, f := range r.resourceFields() {
		if *f.value != "" {
			vars[EnvName(f.output)] = *f.value
		}
	}
	return vars
}
