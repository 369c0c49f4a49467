package runtimetest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// tail is how many bytes of a log an invocation returns when asked to.
const tail = 4 << 10

// Service are functions that can be invoked by name.
type Service struct {
	// URL is the endpoint of the Invoke API, for AWS_ENDPOINT_URL_LAMBDA. It
	// checks no signature.
	URL string

	t         testing.TB
	mu        sync.Mutex
	functions map[string]*Function
	free      int            // what may be reserved of the account's concurrency
	reserved  map[string]int // by name of the function
}

// NewService starts a service without functions, until the test ends.
func NewService(t testing.TB) *Service {
	t.Helper()
	s := &Service{t: t, functions: map[string]*Function{}, free: 900, reserved: map[string]int{}}
	s.URL = serve(t, s)
	return s
}

// Add adds a function. No process is started before it is invoked. If the test
// fails, the end of the function's log is shown.
func (s *Service) Add(c Config) *Function {
	s.t.Helper()
	if c.Name == "" || c.Program == "" {
		s.t.Fatal("a function needs a name and a program")
	}
	f := newFunction(c)
	f.t = s.t
	s.t.Cleanup(func() {
		f.close()
		if s.t.Failed() {
			s.t.Logf("the end of the log of %s:\n%s", f.Name, f.Log().end(2*tail))
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.functions[c.Name] != nil {
		s.t.Fatalf("there are two functions %s", c.Name)
	}
	s.functions[c.Name] = f
	return f
}

// Get returns a function by its name or ARN, with or without a qualifier, or nil.
func (s *Service) Get(name string) *Function {
	if _, after, isARN := strings.Cut(name, ":function:"); isARN {
		name = after
	}
	name, _, _ = strings.Cut(name, ":")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.functions[name]
}

// NewAccount makes the account one that has no concurrency to reserve.
func (s *Service) NewAccount() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = 0
}

// Reserved is the concurrency that is reserved for a function, 0 if none is.
func (s *Service) Reserved(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserved[name]
}

// ServeHTTP is Lambda's operations Invoke, PutFunctionConcurrency and
// DeleteFunctionConcurrency. What is reserved is kept, and bounds nothing.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", s.invoke)
	mux.HandleFunc("PUT /2017-10-31/functions/{name}/concurrency", s.reserve)
	mux.HandleFunc("DELETE /2017-10-31/functions/{name}/concurrency", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		delete(s.reserved, r.PathValue("name"))
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.ServeHTTP(w, r)
}

func (s *Service) reserve(w http.ResponseWriter, r *http.Request) {
	var in struct{ ReservedConcurrentExecutions int }
	err := json.NewDecoder(r.Body).Decode(&in)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name := r.PathValue("name"); {
	case err != nil:
		refuse(w, http.StatusBadRequest, "InvalidRequestContentException", err.Error())
	case s.functions[name] == nil:
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+name)
	case in.ReservedConcurrentExecutions > s.free:
		refuse(w, http.StatusBadRequest, "InvalidParameterValueException",
			"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [10].")
	default:
		s.reserved[name] = in.ReservedConcurrentExecutions
		_ = json.NewEncoder(w).Encode(in) // the client may be gone
	}
}

func (s *Service) invoke(w http.ResponseWriter, r *http.Request) {
	f := s.Get(r.PathValue("name"))
	if f == nil {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+r.PathValue("name"))
		return
	}
	event, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	if err != nil {
		return // the client has gone
	}
	if len(event) == 0 {
		event = []byte("{}")
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		id, err := f.InvokeEvent(event)
		if err != nil {
			refuseBy(w, err)
			return
		}
		w.Header().Set("X-Amzn-Requestid", id)
		w.WriteHeader(http.StatusAccepted)
	case "", "RequestResponse":
		result, err := f.Invoke(r.Context(), event)
		if err != nil {
			refuseBy(w, err)
			return
		}
		respond(w, result, r.Header.Get("X-Amz-Log-Type") == "Tail")
	default:
		refuse(w, http.StatusBadRequest, "InvalidParameterValueException", "no invocation type "+kind)
	}
}

func respond(w http.ResponseWriter, result Result, withLog bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Requestid", result.RequestID)
	h.Set("X-Amz-Executed-Version", version)
	if result.Error != nil {
		h.Set("X-Amz-Function-Error", "Unhandled")
	}
	if withLog {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte(result.Log.end(tail))))
	}
	_, _ = w.Write(result.Payload)
}

// end is the last n bytes of the text.
func (l Log) end(n int) string {
	text := l.String()
	return text[max(0, len(text)-n):]
}

func refuseBy(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrThrottled):
		refuse(w, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
	case errors.Is(err, ErrTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than 6291456 bytes for the InvokeFunction operation")
	case errors.Is(err, ErrNotJSON):
		refuse(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
	default: // the client has gone
		refuse(w, http.StatusInternalServerError, "ServiceException", err.Error())
	}
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"Type": "User", "Message": message}) // the client may be gone
}

// serve serves a handler until the test ends.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
