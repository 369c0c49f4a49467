package ui

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// LineWriter writes to a terminal on whose last line a status stays: it is erased before
// anything else is written, and written again below it.
type LineWriter struct {
	mu     sync.Mutex
	out    io.Writer
	status string
}

// NewLineWriter returns a writer without a status.
func NewLineWriter(out io.Writer) *LineWriter { return &LineWriter{out: out} }

// asLineWriter returns the writer itself if it can show a status, else one that can.
func asLineWriter(out io.Writer) *LineWriter {
	if l, ok := out.(*LineWriter); ok {
		return l
	}
	return NewLineWriter(out)
}

// eraseLine goes to the begin of the line and erases it.
const eraseLine = "\r\x1b[K"

// Write implements io.Writer.
func (l *LineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == "" {
		return l.out.Write(p)
	}
	shown := l.status
	if !bytes.HasSuffix(p, []byte("\n")) { // the line goes on
		shown, l.status = "", ""
	}
	if _, err := fmt.Fprint(l.out, eraseLine); err != nil {
		return 0, err
	}
	n, err := l.out.Write(p)
	if err == nil {
		_, err = fmt.Fprint(l.out, shown)
	}
	return n, err
}

// setStatus shows a status of one line; "" removes it.
func (l *LineWriter) setStatus(status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if status == l.status {
		return
	}
	l.status = status
	fmt.Fprint(l.out, eraseLine+status)
}
