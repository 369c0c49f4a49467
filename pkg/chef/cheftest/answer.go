package cheftest

import (
	"fmt"
	"net/http"
	"strconv"
)

// answer is a complete response. An empty ctype means no content type, as in errors of
// erchef (docs/chef-server-api.md §13).
type answer struct {
	status   int
	header   http.Header
	body     []byte
	ctype    string
	frontEnd bool // not by the API itself: no version header
}

const jsonType = "application/json"

func jsonAnswer(status int, v any) *answer {
	return &answer{status: status, body: encode(v), ctype: jsonType}
}

func ok(v any) *answer { return jsonAnswer(http.StatusOK, v) }

// created returns a 201 with the Location of what was created.
func created(location string, v any) *answer {
	return jsonAnswer(http.StatusCreated, v).withHeader("Location", location)
}

// fail returns an error with its text in a list, as nearly all of erchef's have.
func fail(status int, format string, args ...any) *answer {
	return failWith(status, obj("error", []any{fmt.Sprintf(format, args...)}))
}

// failText returns an error whose text isn't in a list.
func failText(status int, format string, args ...any) *answer {
	return failWith(status, obj("error", fmt.Sprintf(format, args...)))
}

func failWith(status int, v any) *answer { return &answer{status: status, body: encode(v)} }

func invalid(format string, args ...any) *answer {
	return fail(http.StatusBadRequest, format, args...)
}

func notFound(format string, args ...any) *answer {
	return fail(http.StatusNotFound, format, args...)
}

func conflict(format string, args ...any) *answer {
	return fail(http.StatusConflict, format, args...)
}

func (a *answer) withHeader(key, val string) *answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set(key, val)
	return a
}

// htmlPage returns an HTML page of the front end.
func htmlPage(status int) *answer {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if status == http.StatusOK {
		title = "Chef Infra Server"
	}
	return &answer{
		status: status, frontEnd: true, ctype: "text/html",
		body: fmt.Appendf(nil, "<!DOCTYPE html>\n<html><head><title>%[1]s</title></head><body><h1>%[1]s</h1></body></html>\n", title),
	}
}

// versionHeader returns the value of X-Ops-Server-API-Version on answers of the API
// (docs/chef-server-api.md §1.4). Its numbers are strings.
func (s *Server) versionHeader(requested, response int) string {
	return string(encode(obj(
		"min_version", strconv.Itoa(s.opts.MinAPIVersion),
		"max_version", strconv.Itoa(s.opts.MaxAPIVersion),
		"request_version", strconv.Itoa(requested),
		"response_version", strconv.Itoa(response))))
}
