// Package runtimetest runs the programs of AWS Lambda functions in tests as Lambda
// does: each environment is a process that asks the Runtime API for one invocation after
// the other, is frozen between them, and is killed at its deadline.
//
//	var programs runtimetest.Programs
//
//	func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
//
//	func TestSync(t *testing.T) {
//		lambda := runtimetest.NewService(t)
//		sync := lambda.Add(runtimetest.Config{
//			Name:    "stack-sync",
//			Program: programs.Build(t, "chefsync/functions/cmd/sync"),
//			Env:     map[string]string{"AWS_ENDPOINT_URL_LAMBDA": lambda.URL},
//		})
//		result, err := sync.Invoke(t.Context(), cloud.SyncEvent{})
//		…
//	}
//
// [Service.URL] is an endpoint of Lambda, for clients of the SDK, and [Function.URL] a
// function URL.
//
// Unlike Lambda it has no limits of memory, payload size or concurrency, writes no log
// lines of its own, and does not retry events, as the stack configures it. Freezing and
// measuring need Linux.
package runtimetest
