package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
)

// Variables of the environment that name emulators; .ci/emulators sets them.
const (
	endpointName   = "CHEFSYNC_AWS_ENDPOINT" // has the table and secrets
	s3EndpointName = "CHEFSYNC_S3_ENDPOINT"  // has the bucket
	// oneAtATime is for emulators that several requests at once break; see the
	// suite of pkg/store/dynamo.
	oneAtATime = "CHEFSYNC_AWS_ONE_AT_A_TIME"
)

// TestPromisesWithAnEmulator: what the fake of AWS lets through,
// others may not: versitygw checks signatures and checksums, moto the expressions
// and the size of what is written.
func TestPromisesWithAnEmulator(t *testing.T) {
	there := emulatorProxy(t)
	t.Run("to cheftest", func(t *testing.T) {
		testPromises(t, func(t *testing.T) *testStack {
			return newEmulatedStack(t, there, newPrimary(t), newMemoryServer(t, "eu", cheftest.Options{}))
		})
	})
	t.Run("to goiardi", func(t *testing.T) {
		goiarditest.Require(t)
		testPromises(t, func(t *testing.T) *testStack { return newEmulatedStack(t, there, newPrimary(t), newGoiardi(t)) })
	})
}

// stackNumber numbers the stacks of one process.
var stackNumber atomic.Int64

func newEmulatedStack(t testing.TB, there http.Handler, primary, replica *chefServer) *testStack {
	t.Helper()
	stack := fmt.Sprintf("e2e-%d-%d", os.Getpid(), stackNumber.Add(1))
	return newTestStackOn(t, there, stack, primary, replica)
}

// emulatorProxy leads requests to the emulators of their services.
func emulatorProxy(t *testing.T) http.Handler {
	t.Helper()
	most, objects := inTurn(leadTo(t, endpointName)), leadTo(t, s3EndpointName)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.Contains(q.Header.Get("Authorization"), "/s3/aws4_request") { // the service that it is signed for
			objects.ServeHTTP(w, q)
			return
		}
		most.ServeHTTP(w, q)
	})
}

// leadTo leads requests to the emulator that a variable names.
func leadTo(t *testing.T, name string) http.Handler {
	t.Helper()
	if os.Getenv(name) == "" {
		t.Skipf("SKIPPED: %s isn't set", name)
	}
	target, err := url.Parse(os.Getenv(name))
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(target)
}

// inTurn sends requests one after the other to an emulator that several at once break.
func inTurn(emulator http.Handler) http.Handler {
	var turn sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if os.Getenv(oneAtATime) != "" {
			// The client may be killed; the emulator is busy until it has responded.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(q.Context()), time.Minute)
			defer cancel()
			q = q.WithContext(ctx)
			turn.Lock()
			defer turn.Unlock()
		}
		emulator.ServeHTTP(w, q)
	})
}
