package ui

// Mark is the mark before the result of a check.
type Mark string

// The marks.
const (
	Passed  Mark = "✓"
	Warned  Mark = "!"
	Skipped Mark = "-"
	Failed  Mark = "✗"
)

// Mark returns a mark in its color.
func (g *Grid) Mark(m Mark) Text {
	color := map[Mark]Color{Passed: Green, Warned: Yellow, Skipped: Faint, Failed: Red}[m]
	return g.Paint(color, string(m))
}
