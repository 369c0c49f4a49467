package chef

import (
	"encoding/json"
	"errors"
	"fmt"

	"chefsync/pkg/object/canonical"
)

// errTooDeep says that JSON of a server is nested deeper than canonical JSON goes. It
// could exhaust the stack of later readers.
var errTooDeep = fmt.Errorf("the JSON is nested deeper than %d levels", canonical.MaxDepth)

// checkJSON returns an error unless b is one JSON value that isn't nested too deeply.
func checkJSON(b []byte) error {
	if canonical.CheckDepth(b) != nil {
		return errTooDeep
	}
	if !json.Valid(b) {
		return errors.New("the body isn't valid JSON")
	}
	return nil
}
