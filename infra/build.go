package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// functionNames are the functions of a stack, as the folders of functions/cmd are called.
func functionNames(a config.AWS) []string {
	names := []string{cloud.SyncFunction, cloud.ManagerFunction}
	if a.Journal {
		names = append(names, cloud.ChangesFunction)
	}
	if a.Journal && a.JournalURL {
		names = append(names, cloud.WebFunction)
	}
	return names
}

// buildFunctions builds the functions into a folder of a folder each, which it
// returns by their names. The same source makes the same bytes wherever it is
// built, so that only what changed is deployed.
func buildFunctions(log io.Writer, folder string, a config.AWS) (map[string]string, error) {
	folders := map[string]string{}
	for _, name := range functionNames(a) {
		folders[name] = filepath.Join(folder, name)
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w",
			"-o", filepath.Join(folders[name], "bootstrap"), "./functions/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goArch(a))
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("build functions/cmd/%s: %w; nothing was synthesized", name, err)
		}
		// Lambda runs it as another user, whatever this one's umask took away.
		if err := os.Chmod(filepath.Join(folders[name], "bootstrap"), 0o755); err != nil {
			return nil, fmt.Errorf("build functions/cmd/%s: %w; nothing was synthesized", name, err)
		}
	}
	return folders, nil
}

func goArch(a config.AWS) string {
	if a.Architecture == config.X8664 {
		return "amd64"
	}
	return "arm64"
}
