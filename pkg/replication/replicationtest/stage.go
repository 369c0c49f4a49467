package replicationtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"sync"

	"chefsync/pkg/replication"
)

// Stage is a replication.Stage that keeps its content in memory.
type Stage struct {
	mu       sync.Mutex
	contents map[replication.StageKey][]byte
	Puts     int
}

var _ replication.Stage = (*Stage)(nil)

// Open implements replication.Stage.
func (s *Stage) Open(_ context.Context, key replication.StageKey) (io.ReadCloser, int64, error) {
	if err := key.Check(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.contents[key]
	if !ok {
		return nil, 0, replication.ErrNotStaged
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

// Put implements replication.Stage.
func (s *Stage) Put(_ context.Context, key replication.StageKey, content io.Reader, size int64) error {
	if err := key.Check(); err != nil {
		return err
	}
	b, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	sum := md5.Sum(b)
	if hex.EncodeToString(sum[:]) != key.Checksum || size >= 0 && size != int64(len(b)) {
		return replication.ErrContentMismatch
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contents == nil {
		s.contents = map[replication.StageKey][]byte{}
	}
	s.contents[key] = b
	s.Puts++
	return nil
}

// Remove implements replication.Stage.
func (s *Stage) Remove(_ context.Context, key replication.StageKey) error {
	if err := key.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.contents, key)
	return nil
}

// Without returns a stage with the same content except that of one space.
func (s *Stage) Without(space string) *Stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := &Stage{contents: map[replication.StageKey][]byte{}}
	for key, b := range s.contents {
		if key.Space != space {
			rest.contents[key] = b
		}
	}
	return rest
}
