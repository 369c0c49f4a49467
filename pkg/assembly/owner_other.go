//go:build !linux

package assembly

// pidSpace is unknown, so the lease of a dead process has to expire.
func pidSpace() string { return "" }

func processStart(int) (string, processState) { return "", processUnknown }
