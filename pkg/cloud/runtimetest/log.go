package runtimetest

import (
	"bufio"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"time"
)

// Line is a line of a function's log: what its process wrote to standard output
// or standard error, or what Lambda itself says (INIT_START, START, END,
// REPORT).
type Line struct {
	At        time.Time
	Stream    string // of the environment
	RequestID string // of the invocation; "" for what the process says at its start
	Text      string // without the newline
}

// Log are lines, oldest first.
type Log []Line

// String is the text of the lines.
func (l Log) String() string {
	var b strings.Builder
	for _, line := range l {
		b.WriteString(line.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// output collects what a process writes. Process and harness write into one
// pipe, so that a mark of the harness shows that all before it has been read.
type output struct {
	pipe   *os.File // to write to
	mark   string
	marked chan struct{}
	closed chan struct{}
	stream string
	sink   func(Line)

	mu      sync.Mutex
	request string
	lines   Log
}

func newOutput(stream string, sink func(Line)) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{pipe: w, mark: "\x00" + rand.Text() + "\n", marked: make(chan struct{}), closed: make(chan struct{}), stream: stream, sink: sink}
	go o.read(r)
	return o, nil
}

func (o *output) read(r *os.File) {
	defer close(o.closed)
	defer func() { _ = r.Close() }()
	for lines := bufio.NewReader(r); ; {
		text, err := lines.ReadString('\n')
		text, marked := strings.CutSuffix(text, o.mark)
		if text != "" {
			o.add(strings.TrimSuffix(text, "\n"))
		}
		if marked {
			o.marked <- struct{}{}
		}
		if err != nil {
			return
		}
	}
}

func (o *output) add(text string) {
	o.mu.Lock()
	line := Line{At: time.Now(), Stream: o.stream, RequestID: o.request, Text: text}
	o.lines = append(o.lines, line)
	o.mu.Unlock()
	o.sink(line)
}

// say writes a line of Lambda's own.
func (o *output) say(text string) { _, _ = o.pipe.WriteString(text + "\n") }

// begin says whose lines come now.
func (o *output) begin(request string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.request = request
}

// flush returns when all that was written has been read. What has no newline is
// a line all the same.
func (o *output) flush() {
	_, _ = o.pipe.WriteString(o.mark)
	<-o.marked
}

// take returns the lines since it was called last, up to now.
func (o *output) take() Log {
	o.flush()
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := o.lines
	o.lines = nil
	return lines
}

// close ends the reading, once the process has ended.
func (o *output) close() {
	_ = o.pipe.Close()
	<-o.closed
}
