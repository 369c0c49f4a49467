//go:build !linux

package assembly

// pidSpace isn't known: the lease of a dead process ends by itself.
func pidSpace() string { return "" }

func processStart(int) (string, processState) { return "", processUnknown }
