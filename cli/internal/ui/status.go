package ui

// StatusLine is a line on a terminal that is written over itself, below all other output
// to stderr. Where stderr is no terminal it shows nothing.
type StatusLine struct {
	out  *Output
	line *LineWriter
}

// NewStatusLine returns an empty line.
func (o *Output) NewStatusLine() *StatusLine {
	return &StatusLine{out: o, line: asLineWriter(o.Err)}
}

// IsShown reports whether anybody sees the line.
func (s *StatusLine) IsShown() bool { return s.out.ErrTTY && !s.out.Quiet }

// Set shows a text.
func (s *StatusLine) Set(text string) {
	if s.IsShown() {
		s.line.setStatus(string(Shorten(Safe(text), s.width())))
	}
}

// Clear removes the line.
func (s *StatusLine) Clear() {
	if s.IsShown() {
		s.line.setStatus("")
	}
}

// usualWidth is the longest line where the width of the terminal is unknown.
const usualWidth = 78

// width is the longest line that doesn't wrap: a wrapped one can't be written over. The
// last column stays free, since some terminals wrap when it is filled.
func (s *StatusLine) width() int {
	if s.out.ErrWidth != nil {
		if columns := s.out.ErrWidth(); columns > 0 {
			return columns - 1
		}
	}
	return usualWidth
}
