package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"chefsync/infra/chefsync"
	"chefsync/pkg/config"
)

// buildFunctions builds each function into its own subfolder, and returns the subfolders
// by function. Builds are reproducible, so that only changed functions are deployed.
func buildFunctions(log io.Writer, folder string, a config.AWS) (map[string]string, error) {
	folders := map[string]string{}
	for _, name := range chefsync.FunctionNames(a) {
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
