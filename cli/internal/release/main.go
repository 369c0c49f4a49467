// The program release builds what a release consists of, from the clone that is its
// working directory:
//
//	release -tools FOLDER [-platforms linux/amd64,...] [-aws FOLDER] DIST
//
// The same commit and the same version of Go give the same bytes, in any folder: all times
// are that of the commit, and nothing of the machine is in them. docs/releasing.md tells
// how it is called.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// allPlatforms are those that a release has programs for.
const allPlatforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one release while it is built.
type release struct {
	dist  string // gets the files
	work  string // is for files on the way
	tools string // has nfpm and cyclonedx-gomod
	log   io.Writer

	version string    // without the "v"
	commit  string    // its hash
	time    time.Time // of the commit
}

func run(ctx context.Context, args []string, log io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	tools := flags.String("tools", "", "`folder` of nfpm and cyclonedx-gomod")
	platforms := flags.String("platforms", allPlatforms, "what to build for")
	aws := flags.String("aws", "", "`folder` that make template wrote")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *tools == "" {
		return errors.New("usage: release -tools FOLDER [-platforms OS/ARCH,...] [-aws FOLDER] DIST")
	}
	work, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	r := &release{dist: flags.Arg(0), work: work, tools: *tools, log: log}
	if r.dist, err = filepath.Abs(r.dist); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		return err
	}
	if err := r.build(ctx, strings.Split(*platforms, ",")); err != nil {
		return err
	}
	if *aws != "" {
		if err := r.packTemplate(*aws); err != nil {
			return err
		}
	}
	return r.writeSums()
}

// build builds everything that is for one of the platforms.
func (r *release) build(ctx context.Context, platforms []string) error {
	programs, err := r.buildPrograms(ctx, platforms)
	if err != nil {
		return err
	}
	shared, err := r.sharedFiles()
	if err != nil {
		return err
	}
	var forLinux []program
	for _, p := range programs {
		if err := r.archive(p, shared); err != nil {
			return err
		}
		if err := r.describe(ctx, p); err != nil {
			return err
		}
		if p.system == "linux" {
			forLinux = append(forLinux, p)
		}
	}
	for _, p := range forLinux {
		if err := r.packageFor(ctx, p, shared); err != nil {
			return err
		}
		if err := r.buildFunctions(ctx, p.architecture); err != nil {
			return err
		}
	}
	return r.buildImage(forLinux)
}

// name returns the path of a file of the release.
func (r *release) name(format string, a ...any) string {
	name := fmt.Sprintf(format, a...)
	_, _ = fmt.Fprintln(r.log, "  "+name)
	return filepath.Join(r.dist, name)
}

// packTemplate packs what deploys the stack on AWS: a template, functions and a script.
func (r *release) packTemplate(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var files []file
	for _, e := range entries {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(e.Name(), ".sh") {
			mode = 0o755
		}
		files = append(files, file{name: "chef-sync-aws_" + r.version + "/" + e.Name(), path: filepath.Join(folder, e.Name()), mode: mode})
	}
	return r.writeZip(r.name("chef-sync-aws_%s.zip", r.version), files)
}
