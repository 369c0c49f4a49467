package dynamotest

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
)

func TestRequestsAreHandledOneAtATime(t *testing.T) {
	running := 0
	h := serializeRequests(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		running++
		runtime.Gosched()
		if running != 1 {
			t.Errorf("%d requests are handled at the same time", running)
		}
		running--
		w.WriteHeader(http.StatusTeapot)
	}))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				answer := httptest.NewRecorder()
				h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", nil))
				if answer.Code != http.StatusTeapot || answer.Header().Get("X-Amz-Crc32") != "0" {
					t.Errorf("answer %d with checksum %q", answer.Code, answer.Header().Get("X-Amz-Crc32"))
				}
			}
		})
	}
	all.Wait()
}
