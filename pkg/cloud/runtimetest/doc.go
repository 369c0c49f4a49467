// Package runtimetest runs the real programs of AWS Lambda functions for tests,
// as Lambda would: each environment is a process that asks the Runtime API for
// one invocation after the other, is frozen between them, and is killed at its
// deadline.
//
//	var programs runtimetest.Programs
//
//	func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
//
//	func TestSync(t *testing.T) {
//		lambda := runtimetest.NewService(t)
//		sync := lambda.Add(runtimetest.Config{
//			Name:    "stack-sync",
//			Program: programs.Build(t, "chefsync/functions/sync"),
//			Env:     map[string]string{"AWS_ENDPOINT_URL_LAMBDA": lambda.URL},
//		})
//		result, err := sync.Invoke(t.Context(), cloud.SyncEvent{})
//		…
//	}
//
// [Service.URL] answers the Invoke API, so that clients of the SDK reach the
// functions too, and [Function.URL] is what a function URL would be.
//
// What differs from Lambda: the memory of a process is measured and not limited;
// a process that doesn't ask for work within [InitLimit] is not started a second
// time within the same invocation; events are tried again at once, not after
// minutes; nothing is thrown away for its age; there is no Extensions API, so
// that no SIGTERM is ever sent. Responses are returned whole, never streamed.
// Freezing needs a Unix, measuring CPU and memory needs Linux.
package runtimetest
