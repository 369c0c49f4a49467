package runtimetest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Service is the functions of an account.
type Service struct {
	// URL is an endpoint of Lambda with the operations Invoke, PutFunctionConcurrency
	// and DeleteFunctionConcurrency, for AWS_ENDPOINT_URL_LAMBDA. It checks no signature,
	// and reserved concurrency bounds nothing.
	URL string

	t          testing.TB
	mu         sync.Mutex
	functions  map[string]*Function
	unreserved int            // concurrency that can be reserved
	reserved   map[string]int // by function
}

// NewService starts a service without functions, until the test ends.
func NewService(t testing.TB) *Service {
	t.Helper()
	s := &Service{t: t, functions: map[string]*Function{}, unreserved: 900, reserved: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", s.serveInvoke)
	mux.HandleFunc("PUT /2017-10-31/functions/{name}/concurrency", s.serveReserve)
	mux.HandleFunc("DELETE /2017-10-31/functions/{name}/concurrency", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		delete(s.reserved, r.PathValue("name"))
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	s.URL = startServer(t, mux)
	return s
}

// Add adds a function. Its first process is started by the first invocation. If the test
// fails, the end of the function's log is shown.
func (s *Service) Add(c Config) *Function {
	s.t.Helper()
	f := newFunction(s.t, c)
	s.t.Cleanup(func() {
		f.close()
		if s.t.Failed() {
			text := f.Log().String()
			s.t.Logf("the end of the log of %s:\n%s", f.Name, text[max(0, len(text)-8<<10):])
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions[c.Name] = f
	return f
}

// Get returns a function by its name, or nil.
func (s *Service) Get(name string) *Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.functions[name]
}

// SetUnreserved sets the concurrency of the account that can be reserved. A new account
// has none.
func (s *Service) SetUnreserved(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreserved = n
}

// Reserved returns the concurrency that is reserved for a function.
func (s *Service) Reserved(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserved[name]
}

func (s *Service) serveReserve(w http.ResponseWriter, r *http.Request) {
	var in struct{ ReservedConcurrentExecutions int }
	err := json.NewDecoder(r.Body).Decode(&in)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || in.ReservedConcurrentExecutions > s.unreserved {
		writeError(w, http.StatusBadRequest, "InvalidParameterValueException",
			"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [10].")
		return
	}
	s.reserved[r.PathValue("name")] = in.ReservedConcurrentExecutions
	_ = json.NewEncoder(w).Encode(in) // the client may have disconnected
}

func (s *Service) serveInvoke(w http.ResponseWriter, r *http.Request) {
	f := s.Get(r.PathValue("name"))
	if f == nil {
		writeError(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+r.PathValue("name"))
		return
	}
	event, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has disconnected
	}
	if r.Header.Get("X-Amz-Invocation-Type") == "Event" {
		if err := f.InvokeEvent(event); err != nil {
			writeError(w, http.StatusInternalServerError, "ServiceException", err.Error())
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	result, err := f.Invoke(r.Context(), event)
	if err != nil {
		return // the client has disconnected
	}
	w.Header().Set("Content-Type", "application/json")
	if result.Error != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	_, _ = w.Write(result.Payload) // the client may have disconnected
}

func writeError(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"Type": "User", "Message": message}) // the client may have disconnected
}

// startServer serves a handler until the test ends.
func startServer(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
