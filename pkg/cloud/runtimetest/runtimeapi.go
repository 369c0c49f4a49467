package runtimetest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// response is the response of a process to an invocation, or an error of Lambda.
type response struct {
	body   []byte
	failed bool // body is an error document
}

// lambdaError returns the response for an error of Lambda.
func lambdaError(kind, message string) response {
	body, _ := json.Marshal(FunctionError{Type: kind, Message: message}) // two strings
	return response{body: body, failed: true}
}

// runtimeAPI returns the handler for the process of the environment. See "Using the
// Lambda runtime API" in Lambda's documentation.
func (e *environment) runtimeAPI() http.Handler {
	const prefix = "/2018-06-01/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"next", e.serveNext)
	mux.HandleFunc("POST "+prefix+"{id}/response", func(w http.ResponseWriter, r *http.Request) { e.serveResponse(w, r, false) })
	mux.HandleFunc("POST "+prefix+"{id}/error", func(w http.ResponseWriter, r *http.Request) { e.serveResponse(w, r, true) })
	return mux
}

// serveNext answers with the next invocation, once there is one.
func (e *environment) serveNext(w http.ResponseWriter, r *http.Request) {
	next := make(chan invocation, 1) // a process that was killed receives none
	select {
	case e.ready <- next:
	case <-r.Context().Done():
		return
	}
	select {
	case inv := <-next:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(inv.timeout).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", inv.arn)
		_, _ = w.Write(inv.event) // the process may have ended
	case <-r.Context().Done():
	}
}

func (e *environment) serveResponse(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the process has ended
	}
	select {
	case e.responses <- response{body, failed}:
		w.WriteHeader(http.StatusAccepted)
	case <-r.Context().Done():
	}
}
