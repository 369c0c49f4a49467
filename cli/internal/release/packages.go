package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packageFor writes the packages of a program for Debian and for systems with rpm.
func (r *release) packageFor(ctx context.Context, p program, shared []file) error {
	folder := filepath.Join(r.work, "package", p.architecture)
	if err := r.layPackage(folder, p, shared); err != nil {
		return err
	}
	configuration, err := filepath.Abs(filepath.FromSlash("cli/packaging/nfpm.yaml"))
	if err != nil {
		return err
	}
	for packager, name := range map[string]string{
		"deb": r.name("chef-sync_%s_linux_%s.deb", r.version, p.architecture),
		"rpm": r.name("chef-sync_%s_linux_%s.rpm", r.version, p.architecture),
	} {
		cmd := exec.CommandContext(ctx, filepath.Join(r.tools, "nfpm"), "package", "--config", configuration, "--packager", packager, "--target", name)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "VERSION="+r.version, "ARCHITECTURE="+p.architecture, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("nfpm for %s: %w\n%s", packager, err, out)
		}
	}
	return nil
}

// layPackage lays out the files that cli/packaging/nfpm.yaml names, in a folder.
func (r *release) layPackage(folder string, p program, shared []file) error {
	files := []file{{name: "chef-sync-ctl", path: p.path, mode: 0o755}}
	for _, f := range shared {
		content, err := f.read()
		if err != nil {
			return err
		}
		if strings.HasPrefix(f.name, "man/") || f.name == "CHANGELOG.md" {
			f.name += ".gz"
			if content, err = compress(content); err != nil {
				return err
			}
		}
		files = append(files, file{name: f.name, content: content, mode: f.mode})
	}
	for _, name := range []string{"chef-sync.service", "copyright", "after-install.sh", "before-remove.sh", "after-remove.sh"} {
		files = append(files, file{name: name, path: filepath.Join("cli", "packaging", name), mode: 0o644})
	}
	for _, f := range files {
		content, err := f.read()
		if err != nil {
			return err
		}
		path := filepath.Join(folder, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, f.mode); err != nil {
			return err
		}
		if err := os.Chtimes(path, r.time, r.time); err != nil {
			return err
		}
	}
	return nil
}
