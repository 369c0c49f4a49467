package differences

import (
	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// KindName is a kind as the configuration calls it.
func KindName(k object.Kind) string {
	if k == object.Policy {
		return "policies"
	}
	return string(k) + "s"
}

func LetterColor(letter string) ui.Color {
	switch letter {
	case "A":
		return ui.Green
	case "D":
		return ui.Red
	case LetterUnreadable:
		return ui.Yellow
	}
	return ui.Cyan
}

// LetterUnreadable is the letter of an object that could not be read.
const LetterUnreadable = "?"
