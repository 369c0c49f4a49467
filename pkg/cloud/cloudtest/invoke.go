package cloudtest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// serveLambda serves invocations and the configuration of functions.
func (s *Server) serveLambda(w http.ResponseWriter, r *http.Request) {
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/")
	name = name[strings.LastIndex(name, ":")+1:] // of an ARN
	operation := "Invoke"
	if verb == "configuration" {
		operation = "GetFunctionConfiguration"
	}
	s.mu.Lock()
	f, exists := s.functions[name]
	s.mu.Unlock()
	err := s.refusalError(operation)
	if err == nil && !exists {
		err = awsError{404, "ResourceNotFoundException", "Function not found: " + name}
	}
	switch {
	case err != nil:
		writeError(w, err)
		return
	case verb == "configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"FunctionName": name, "State": "Active", "LastUpdateStatus": "Successful"})
		return
	}
	payload, _ := io.ReadAll(r.Body)
	response, err := f(payload)
	if err != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		response = map[string]string{"errorMessage": err.Error(), "errorType": "errorString"}
	}
	_ = json.NewEncoder(w).Encode(response)
}
