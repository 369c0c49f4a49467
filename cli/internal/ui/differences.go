package ui

import "chefsync/pkg/object"

// KindName returns the plural of a kind.
func KindName(k object.Kind) string {
	if k == object.Policy {
		return "policies"
	}
	return string(k) + "s"
}

// LetterColor returns the color of the letter of a difference.
func LetterColor(letter string) Color {
	switch letter {
	case "A":
		return Green
	case "D":
		return Red
	case LetterUnreadable:
		return Yellow
	}
	return Cyan
}

// LetterUnreadable is the letter of an object that could not be read.
const LetterUnreadable = "?"
