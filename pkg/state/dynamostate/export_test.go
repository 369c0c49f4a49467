package dynamostate

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
)

// Tiny makes everything that is large at some time large at once.
func Tiny() Option {
	return func(s *State) {
		s.sizes = sizes{hot: 1, detail: 256 << 10, inline: 10, delta: 100, logBytes: 200, logCount: 2}
	}
}

// WithMembers adds members to a packed record, as a newer version would.
func WithMembers(packed []byte, members string) []byte {
	plain, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(packed[1:]), []byte(dictionary)))
	if err != nil {
		panic(err)
	}
	out, err := deflate(append(append(bytes.TrimSuffix(bytes.TrimSpace(plain), []byte("}")), ","+members...), '}'))
	if err != nil {
		panic(err)
	}
	return out
}

// MembersOf are the members of a packed record.
func MembersOf(packed []byte) (all map[string]json.RawMessage) {
	plain, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(packed[1:]), []byte(dictionary)))
	if err == nil {
		err = json.Unmarshal(plain, &all)
	}
	if err != nil {
		panic(err)
	}
	return all
}
