package runtimetest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer is what a process says of an invocation, or Lambda for it.
type answer struct {
	body   []byte
	failed bool // body is an error document
}

// failure is an error that Lambda words.
func failure(kind, request, message string) *answer {
	if request != "" {
		message = "RequestId: " + request + " Error: " + message
	}
	body, _ := json.Marshal(FunctionError{Type: kind, Message: message}) // two strings
	return &answer{body: body, failed: true}
}

// call is a request to the Runtime API: for the next invocation, or with an
// answer.
type call struct {
	next    bool
	request string // the invocation that said is about; "" for the process' start
	said    *answer
	reply   chan reply // takes one
}

type reply struct {
	status int
	header map[string]string
	body   []byte
}

func (c call) accept() {
	c.reply <- reply{status: http.StatusAccepted, body: []byte(`{"status":"OK"}`)}
}

func (c call) refuse(status int, kind, message string) {
	c.reply <- reply{status: status, body: failure(kind, "", message).body}
}

// deliver answers a call for the next invocation.
func (c call) deliver(inv invocation) {
	c.reply <- reply{status: http.StatusOK, body: inv.event, header: map[string]string{
		"Content-Type":                        "application/json",
		"Lambda-Runtime-Aws-Request-Id":       inv.id,
		"Lambda-Runtime-Deadline-Ms":          strconv.FormatInt(time.Now().Add(inv.timeout).UnixMilli(), 10),
		"Lambda-Runtime-Invoked-Function-Arn": inv.arn,
		"Lambda-Runtime-Trace-Id":             "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
	}}
}

// runtimeAPI serves the process of the environment. See "Using the Lambda
// runtime API" in Lambda's documentation.
func (e *environment) runtimeAPI() http.Handler {
	const prefix = "/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"invocation/next", func(w http.ResponseWriter, r *http.Request) { e.pass(w, r, call{next: true}) })
	answers := func(failed bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			said, err := read(r)
			if err != nil {
				return // the process died while it was sending
			}
			said.failed = said.failed || failed
			e.pass(w, r, call{request: r.PathValue("id"), said: said})
		}
	}
	mux.HandleFunc("POST "+prefix+"invocation/{id}/response", answers(false))
	mux.HandleFunc("POST "+prefix+"invocation/{id}/error", answers(true))
	mux.HandleFunc("POST "+prefix+"init/error", answers(true))
	return mux
}

// read reads an answer. One whose production failed half-way says so in a
// trailer.
func read(r *http.Request) (*answer, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	if err != nil {
		return nil, err
	}
	if r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		body, err = base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		return &answer{body: body, failed: true}, err
	}
	return &answer{body: body}, nil
}

// pass takes a call to the owner of the environment and the reply back.
func (e *environment) pass(w http.ResponseWriter, r *http.Request, c call) {
	c.reply = make(chan reply, 1)
	select {
	case e.calls <- c:
	case <-r.Context().Done():
		return
	}
	select {
	case a := <-c.reply:
		for name, value := range a.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body) // the process may be gone
	case <-r.Context().Done():
	}
}
