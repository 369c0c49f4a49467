// Package differences has the names and colors of differences that commands share.
package differences

import (
	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// KindName returns the plural of a kind.
func KindName(k object.Kind) string {
	if k == object.Policy {
		return "policies"
	}
	return string(k) + "s"
}

// LetterColor returns the color of the letter of a difference.
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
