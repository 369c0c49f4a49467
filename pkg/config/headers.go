package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"chefsync/pkg/fault"
)

// maxHeaders is the most headers of a server.
const maxHeaders = 20

// ResolveHeaders returns the headers that are sent with each request to the server. Errors
// name a header, never its value.
func (s Server) ResolveHeaders(ctx context.Context, resolvers map[string]Resolver) (http.Header, error) {
	h := http.Header{}
	for name, v := range s.Headers {
		text, err := v.Resolve(ctx, resolvers)
		if err != nil {
			return nil, err
		}
		value := strings.TrimSpace(string(text.Reveal()))
		if err := checkHeaderValue(value); err != nil {
			return nil, &fault.Error{Op: "read " + v.String(), Server: s.Name, Class: fault.Local, Err: err,
				Hint: fmt.Sprintf("it must contain the value of the header %s alone", name)}
		}
		h.Set(name, value)
	}
	return h, nil
}

// readHeaders reads the table of headers of a server.
func (s *section) readHeaders() map[string]KeyRef {
	s.recordForm("headers", formTable)
	table := s.subTable("headers", false)
	if len(table.values) > maxHeaders {
		s.badValue("headers", "", "there are more than %d", maxHeaders)
	}
	values := readTable(table, "string", s.parseHeader, KeyRef.String)
	if len(values) == 0 {
		return nil
	}
	headers := map[string]KeyRef{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key := http.CanonicalHeaderKey(name)
		if _, twice := headers[key]; twice {
			table.addProblem(joinKey(table.path, name), "", "%s is given twice", key)
		}
		headers[key] = values[name]
	}
	return headers
}

// parseHeader parses the value of a header, or a reference to it.
func (r *reader) parseHeader(name, text string) (KeyRef, error) {
	if err := checkHeaderName(name); err != nil {
		return KeyRef{}, refuse(`write the header that the server wants, such as "Tenant-Id"`, "%s", err)
	}
	if scheme, _, _ := strings.Cut(text, ":"); slices.Contains([]string{"file", "env", "secretsmanager", "ssm"}, scheme) {
		return r.parseRef(text)
	}
	text = strings.TrimSpace(text)
	if err := checkHeaderValue(text); err != nil {
		return KeyRef{}, refuse("write the value, or where it is kept: file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME", "%s", err)
	}
	return inlineRef(redacted, text), nil
}

// checkHeaderName refuses what can't be a header, and headers that belong to requests
// themselves: signatures, what is signed, and how content is sent.
func checkHeaderName(name string) error {
	if !matches("^[!#$%&'*+.^_`|~A-Za-z0-9-]{1,64}$", name) {
		return errors.New("can't be the name of a header")
	}
	lower := strings.ToLower(name)
	for _, begin := range []string{"x-ops-", "x-chef-", "content-", "accept", "proxy-", "if-"} {
		if strings.HasPrefix(lower, begin) {
			return errors.New("is a header that this program sets or signs itself")
		}
	}
	switch lower {
	case "authorization", "host", "user-agent", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect", "range":
		return errors.New("is a header that this program sets or signs itself")
	}
	return nil
}

// checkHeaderValue refuses what can't be the value of a header. The error doesn't contain
// it.
func checkHeaderValue(value string) error {
	switch {
	case value == "":
		return errors.New("must not be empty")
	case len(value) > 4096:
		return errors.New("is longer than 4096 bytes")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return errors.New("contains a line break or another control character")
	}
	return nil
}
