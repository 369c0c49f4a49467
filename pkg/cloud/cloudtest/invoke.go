package cloudtest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// lambda answers invocations and questions about functions.
func (s *Server) lambda(w http.ResponseWriter, r *http.Request) {
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/")
	name = name[strings.LastIndex(name, ":")+1:] // of an ARN
	operation := "Invoke"
	if verb == "configuration" {
		operation = "GetFunctionConfiguration"
	}
	s.mu.Lock()
	f, there := s.functions[name]
	s.mu.Unlock()
	err := s.begin(operation)
	if err == nil && !there {
		err = fault{404, "ResourceNotFoundException", "Function not found: " + name}
	}
	switch {
	case err != nil:
		writeFault(w, err)
		return
	case verb == "configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"FunctionName": name, "State": "Active", "LastUpdateStatus": "Successful"})
		return
	}
	payload, _ := io.ReadAll(r.Body)
	answer, err := f(payload)
	if err != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		answer = map[string]string{"errorMessage": err.Error(), "errorType": "errorString"}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// scheduler keeps schedules, and never fires them.
func (s *Server) scheduler(r *http.Request) (any, error) {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/schedules"), "/")
	operations := map[string]string{"GET": "GetSchedule", "POST": "CreateSchedule", "PUT": "UpdateSchedule", "DELETE": "DeleteSchedule"}
	operation := operations[r.Method]
	if name == "" {
		operation = "ListSchedules"
	}
	if err := s.begin(operation); err != nil {
		return nil, err
	}
	var in map[string]any
	if body, _ := io.ReadAll(r.Body); len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
	}
	group, _ := in["GroupName"].(string)
	for _, key := range []string{"groupName", "ScheduleGroup"} {
		if v := r.URL.Query().Get(key); v != "" {
			group = v
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	schedules, there := s.schedules[group]
	if !there {
		return nil, fault{404, "ResourceNotFoundException", "Schedule group " + group + " does not exist."}
	}
	one, there := schedules[name]
	switch {
	case operation == "ListSchedules":
		list := []map[string]any{}
		for _, each := range schedules {
			list = append(list, each)
		}
		return map[string]any{"Schedules": list}, nil
	case operation == "CreateSchedule" && there:
		return nil, fault{409, "ConflictException", "Schedule " + name + " already exists."}
	case operation != "CreateSchedule" && !there:
		return nil, fault{404, "ResourceNotFoundException", "Schedule " + name + " does not exist."}
	case operation == "GetSchedule":
		return one, nil
	case operation == "DeleteSchedule":
		delete(schedules, name)
		return struct{}{}, nil
	}
	in["Name"], in["Arn"] = name, "arn:aws:scheduler:us-east-1:111122223333:schedule/"+group+"/"+name
	in["LastModificationDate"] = time.Now().Unix()
	schedules[name] = in
	return map[string]string{"ScheduleArn": in["Arn"].(string)}, nil
}
