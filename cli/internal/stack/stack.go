// Package stack is a deployed stack on AWS as the command line sees it: what it consists
// of, and what can be asked of it. It needs no part of the AWS SDK, which is most of what
// the program takes to compile: package awsstack implements [AWS] with it.
package stack

import (
	"context"
	"strings"
	"time"

	"chefsync/cli/internal/logstore"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// Access selects the AWS profile and region. Empty fields are left to the environment
// variables and files of AWS.
type Access struct {
	Profile, Region string
	// Fallback is the region to use if neither Region nor the settings of AWS name one. It
	// comes from the configuration file.
	Fallback string
}

// AWS is an account on AWS. Nothing is asked of it, and no file or variable read, before
// a method needs it.
type AWS interface {
	// Secrets resolves references to secrets and parameters.
	Secrets() map[string]config.Resolver
	// CreateSecret keeps a new secret in Secrets Manager. A secret that has a value is
	// never replaced.
	CreateSecret(ctx context.Context, name, description string, content []byte) error
	// Open reads what a stack consists of. The table is another than the stack's own,
	// or "".
	Open(ctx context.Context, name, table string) (*Stack, error)
}

// Stack is a deployed stack.
type Stack struct {
	cloud.Resources
	Client
	Status string // as CloudFormation says it, such as UPDATE_COMPLETE
}

// Client asks AWS about a stack. Errors say what was tried on what and which permission
// is missing; they carry the class that decides the exit code.
type Client interface {
	// InvokeSync sends an event to functions/sync and returns its answer. What the function
	// could not do is an error, too.
	InvokeSync(ctx context.Context, event cloud.SyncEvent) (cloud.SyncResult, error)
	// Backend returns the state, stage and configuration of the stack.
	Backend() Backend
	// Log returns the logs of the functions. The owner is the name of this process.
	Log(owner string, pairs []config.PairConfig, now func() time.Time) logstore.Store

	// Identity returns the ARN of the credentials in use.
	Identity(ctx context.Context) (string, error)
	// DescribeTable returns the description of the table.
	DescribeTable(ctx context.Context) (Table, error)
	// HasTimeToLive reports whether old records expire.
	HasTimeToLive(ctx context.Context) (bool, error)
	// HasPointInTimeRecovery reports whether the table can be restored to a point in time.
	HasPointInTimeRecovery(ctx context.Context) (bool, error)
	// FunctionProblem returns why a function can't run, or "".
	FunctionProblem(ctx context.Context, name string) (string, error)
	// ReservedConcurrency returns the reserved concurrency of a function, 0 for none.
	ReservedConcurrency(ctx context.Context, name string) (int, error)
	// DeadLetterCount returns about how many events are in the dead-letter queue.
	DeadLetterCount(ctx context.Context) (int, error)
	// PurgeDeadLetters deletes all events from the dead-letter queue.
	PurgeDeadLetters(ctx context.Context) error
}

// Backend is the state, stage and configuration of a stack.
type Backend interface {
	assembly.Backend
	// Configuration returns the deployed configuration. With the etag of the known one,
	// it returns nil if that hasn't changed.
	Configuration(ctx context.Context, known string) (c *config.Config, etag string, err error)
	// ReadUpload reads an object of the bucket.
	ReadUpload(ctx context.Context, bucket, key string) ([]byte, error)
}

// Table is the description of the table.
type Table struct {
	Status   string
	Active   bool
	Keys     bool // they are those that the state needs
	KeyNames []string
}

// Broken reports whether the last deployment failed, or the stack is being removed.
func (s *Stack) Broken() bool {
	return strings.Contains(s.Status, "FAILED") || strings.Contains(s.Status, "ROLLBACK") || strings.HasPrefix(s.Status, "DELETE")
}
