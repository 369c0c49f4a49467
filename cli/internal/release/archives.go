package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chefsync/cli"
	"chefsync/cli/internal/reference"
)

// file is a file of an archive: its content, or where to read it. A folder has a name that
// ends with "/".
type file struct {
	name    string
	mode    fs.FileMode
	content []byte
	path    string
	owner   int // user and group
}

func (f file) read() ([]byte, error) {
	if f.path == "" {
		return f.content, nil
	}
	return os.ReadFile(f.path)
}

// sharedFiles returns what is delivered with the program on every platform: documents,
// manual pages, and completions of shells.
func (r *release) sharedFiles() ([]file, error) {
	var files []file
	for _, name := range []string{"CHANGELOG.md", "LICENSE", "README.md"} {
		files = append(files, file{name: name, path: name, mode: 0o644})
	}
	command := cli.Command()
	for name, text := range reference.Man(command) {
		files = append(files, file{name: "man/" + name, content: []byte(text), mode: 0o644})
	}
	for name, generate := range map[string]func(io.Writer) error{
		"bash": func(w io.Writer) error { return command.GenBashCompletionV2(w, true) },
		"zsh":  command.GenZshCompletion,
		"fish": func(w io.Writer) error { return command.GenFishCompletion(w, true) },
		"ps1":  command.GenPowerShellCompletionWithDesc,
	} {
		var text bytes.Buffer
		if err := generate(&text); err != nil {
			return nil, err
		}
		files = append(files, file{name: "completions/chef-sync-ctl." + name, content: text.Bytes(), mode: 0o644})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// archive writes the archive of a program, which unpacks to one folder.
func (r *release) archive(p program, shared []file) error {
	folder := fmt.Sprintf("chef-sync-ctl_%s_%s", r.version, p.platform())
	files := []file{{name: folder + "/" + p.fileName(), path: p.path, mode: 0o755}}
	for _, f := range shared {
		f.name = folder + "/" + f.name
		files = append(files, f)
	}
	if p.system == "windows" {
		return r.writeZip(r.name("%s.zip", folder), files)
	}
	return r.writeTarGz(r.name("%s.tar.gz", folder), files)
}

func (r *release) writeZip(path string, files []file) error {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, f := range files {
		content, err := f.read()
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: r.time.UTC()}
		header.SetMode(f.mode)
		w, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func (r *release) writeTarGz(path string, files []file) error {
	packed, err := packTar(files, r.time)
	if err != nil {
		return err
	}
	packed, err = compress(packed)
	if err != nil {
		return err
	}
	return os.WriteFile(path, packed, 0o644)
}

// packTar returns a tar archive in which every file is of a time.
func packTar(files []file, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, f := range files {
		content, err := f.read()
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: f.name, Mode: tarMode(f.mode), Size: int64(len(content)), Uid: f.owner, Gid: f.owner, ModTime: at, Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return out.Bytes(), err
}

// tarMode returns a mode as tar writes it.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// writeSums writes SHA256SUMS, which sha256sum --check reads.
func (r *release) writeSums() error {
	files, err := os.ReadDir(r.dist)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, f := range files {
		if f.Name() == "SHA256SUMS" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.dist, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return os.WriteFile(r.name("SHA256SUMS"), []byte(sums.String()), 0o644)
}
