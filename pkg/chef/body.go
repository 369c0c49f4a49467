package chef

import (
	"errors"
	"io"
	"sync"
)

// uploadBody is the body of an upload: it checks the length, keeps the
// content's own errors apart from the network's, and reports progress.
type uploadBody struct {
	content io.ReadCloser
	watch   *stallTimer

	mu     sync.Mutex
	left   int64
	closed bool
	err    error
}

var errWrongSize = errors.New("the content doesn't have the size that was given for it")

func (b *uploadBody) Read(p []byte) (int, error) {
	n, err := b.content.Read(p)
	b.watch.reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= int64(n)
	if b.left < 0 || err == io.EOF && b.left > 0 {
		err = errWrongSize
	}
	// net/http closes the body when a response comes early: a read error after that
	// isn't the content's.
	if err != nil && err != io.EOF && !b.closed {
		b.err = err
	}
	return n, err
}

// Close closes the content.
func (b *uploadBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.content.Close()
}

// readError returns the error of reading the content, or nil.
func (b *uploadBody) readError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
