package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

func TestTheOutermostClassAndHintCount(t *testing.T) {
	inner := &fault.Error{Op: "GET", Class: fault.Forbidden, Hint: "grant it"}
	cases := []struct {
		name   string
		err    error
		class  fault.Class
		hint   string
		absent bool
	}{
		{"no error", nil, fault.Transient, "", false},
		{"without a class", errors.New("a"), fault.Transient, "", false},
		{"wrapped", fmt.Errorf("a: %w", inner), fault.Forbidden, "grant it", false},
		{"another class outside", &fault.Error{Class: fault.Denied, Err: inner}, fault.Denied, "grant it", false},
		{"another hint outside", &fault.Error{Hint: "ask", Err: fmt.Errorf("b: %w", inner)}, fault.Forbidden, "ask", false},
		{"one of several", errors.Join(errors.New("a"), inner), fault.Forbidden, "grant it", false},
		{"absent", &fault.Error{Class: fault.Absent}, fault.Absent, "", true},
		{"an absence inside of another class", &fault.Error{Class: fault.Transient, Err: &fault.Error{Class: fault.Absent}}, fault.Transient, "", false},
	}
	for _, c := range cases {
		if got := fault.ClassOf(c.err); got != c.class {
			t.Errorf("%s: class %q, want %q", c.name, got, c.class)
		}
		if got := fault.HintOf(c.err); got != c.hint {
			t.Errorf("%s: hint %q, want %q", c.name, got, c.hint)
		}
		if got := fault.IsAbsent(c.err); got != c.absent {
			t.Errorf("%s: absent %v, want %v", c.name, got, c.absent)
		}
	}
	if class, ok := fault.LookupClass(errors.New("a")); ok {
		t.Errorf("an error without a class has %q", class)
	}
}

func TestAnErrorNamesOperationObjectAndServer(t *testing.T) {
	err := &fault.Error{Op: "write", Object: object.Ref{Kind: object.Role, Name: "web"}, Server: "eu", Err: errors.New("400")}
	if got, want := err.Error(), "write /roles/web on eu: 400"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (&fault.Error{Op: "scan"}).Error(); got != "scan" {
		t.Errorf("%q, want only the operation", got)
	}
}
