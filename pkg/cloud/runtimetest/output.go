package runtimetest

import (
	"bufio"
	"crypto/rand"
	"os"
	"strings"
	"sync"
)

// Log is the lines that processes wrote to standard output and standard error.
type Log []string

// String returns the lines, each with a newline.
func (l Log) String() string {
	var b strings.Builder
	for _, line := range l {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// output collects what a process writes. Process and test write to one pipe, so that
// once a mark of the test is read, everything before it has been read.
type output struct {
	pipe   *os.File // to write to
	mark   string
	marked chan struct{}
	closed chan struct{}
	log    func(line string)

	mu    sync.Mutex
	lines Log
}

func newOutput(log func(line string)) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{pipe: w, mark: "\x00" + rand.Text() + "\n", marked: make(chan struct{}), closed: make(chan struct{}), log: log}
	go o.readLines(r)
	return o, nil
}

func (o *output) readLines(r *os.File) {
	defer close(o.closed)
	defer func() { _ = r.Close() }()
	for lines := bufio.NewReader(r); ; {
		text, err := lines.ReadString('\n')
		text, marked := strings.CutSuffix(text, o.mark)
		if text != "" {
			o.addLine(strings.TrimSuffix(text, "\n"))
		}
		if marked {
			o.marked <- struct{}{}
		}
		if err != nil {
			return
		}
	}
}

func (o *output) addLine(line string) {
	o.mu.Lock()
	o.lines = append(o.lines, line)
	o.mu.Unlock()
	o.log(line)
}

// takeLines returns the lines since its last call. Text without a newline is a line too.
func (o *output) takeLines() Log {
	_, _ = o.pipe.WriteString(o.mark)
	<-o.marked
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := o.lines
	o.lines = nil
	return lines
}

// close stops reading, once the process has ended.
func (o *output) close() {
	_ = o.pipe.Close()
	<-o.closed
}
