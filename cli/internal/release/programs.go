package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	info "chefsync/cli/internal/buildinfo"
)

// program is chef-sync-ctl for one platform.
type program struct {
	system, architecture string
	path                 string
}

func (p program) platform() string { return p.system + "_" + p.architecture }

// fileName is what users call it.
func (p program) fileName() string {
	if p.system == "windows" {
		return "chef-sync-ctl.exe"
	}
	return "chef-sync-ctl"
}

// buildPrograms builds chef-sync-ctl for some platforms, and takes the version and the
// time of the release from the first.
func (r *release) buildPrograms(ctx context.Context, platforms []string) ([]program, error) {
	var programs []program
	for _, platform := range platforms {
		system, architecture, ok := strings.Cut(platform, "/")
		if !ok {
			return nil, fmt.Errorf("%q is no platform; write OS/ARCHITECTURE", platform)
		}
		p := program{system: system, architecture: architecture}
		p.path = filepath.Join(r.work, p.platform(), p.fileName())
		if err := goBuild(ctx, p.path, p.system, p.architecture, "-buildvcs=true", "./cli/chef-sync-ctl"); err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	built, err := buildinfo.ReadFile(programs[0].path)
	if err != nil {
		return nil, err
	}
	v := info.Of(built)
	if v.Modified {
		return nil, errors.New("the clone has changes that aren't committed: a release is built from a commit")
	}
	if r.time, err = time.Parse(time.RFC3339, v.Time); err != nil {
		return nil, fmt.Errorf("the program has no time of a commit; build it in a clone of the repository, not in a work tree or an archive: %w", err)
	}
	r.version, r.commit = strings.TrimPrefix(v.Version, "v"), v.Revision
	return programs, nil
}

// goBuild builds a stripped program that is the same on every machine.
func goBuild(ctx context.Context, path, system, architecture string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path}, arguments)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+architecture,
		// Whatever this machine sets.
		"GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s for %s/%s: %w", strings.Join(arguments, " "), system, architecture, err)
	}
	return nil
}

// buildFunctions builds the functions on AWS and zips each as Lambda takes it.
func (r *release) buildFunctions(ctx context.Context, architecture string) error {
	folders, err := os.ReadDir(filepath.FromSlash("functions/cmd"))
	if err != nil {
		return err
	}
	for _, f := range folders {
		path := filepath.Join(r.work, "functions", architecture, f.Name(), "bootstrap")
		// As the CDK app builds them: without the commit, so that only changed functions
		// are deployed.
		if err := goBuild(ctx, path, "linux", architecture, "-buildvcs=false", "-tags", "lambda.norpc", "./functions/cmd/"+f.Name()); err != nil {
			return err
		}
		packed := r.name("chef-sync-function-%s_%s_linux_%s.zip", f.Name(), r.version, architecture)
		if err := r.writeZip(packed, []file{{name: "bootstrap", path: path, mode: 0o755}}); err != nil {
			return err
		}
	}
	return nil
}

// describe writes the list of the modules that a program consists of (SBOM).
func (r *release) describe(ctx context.Context, p program) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.tools, "cyclonedx-gomod"), "bin", "-json", "-noserial", "-notimestamp", p.path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cyclonedx-gomod: %w\n%s", err, stderr.Bytes())
	}
	text, err := withoutToolHashes(out)
	if err != nil {
		return fmt.Errorf("the output of cyclonedx-gomod: %w", err)
	}
	return os.WriteFile(r.name("chef-sync-ctl_%s_%s.cdx.json", r.version, p.platform()), text, 0o644)
}

// withoutToolHashes returns a list of modules without the hashes of the program that wrote
// it, which are others on another machine.
func withoutToolHashes(list []byte) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal(list, &document); err != nil {
		return nil, err
	}
	metadata, _ := document["metadata"].(map[string]any)
	tools, _ := metadata["tools"].([]any)
	if len(tools) == 0 {
		return nil, errors.New("it names no tools")
	}
	for _, t := range tools {
		if t, ok := t.(map[string]any); ok {
			delete(t, "hashes")
		}
	}
	text, err := json.MarshalIndent(document, "", "  ")
	return append(text, '\n'), err
}
