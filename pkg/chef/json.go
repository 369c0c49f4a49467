package chef

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxDepth is the deepest nesting of JSON that is taken from a server, as deep as
// canonical JSON goes. Deeper values could exhaust the stack of later readers.
const maxDepth = 1000

var errTooDeep = fmt.Errorf("the JSON is nested deeper than %d levels", maxDepth)

// checkJSON returns an error unless b is one JSON value that isn't nested too deeply.
// It checks the depth first and without recursion.
func checkJSON(b []byte) error {
	if err := checkDepth(b); err != nil {
		return err
	}
	if !json.Valid(b) {
		return errors.New("the body isn't valid JSON")
	}
	return nil
}

// checkDepth counts brackets outside strings. It accepts invalid JSON.
func checkDepth(b []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++ // an escaped character doesn't end the string
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
