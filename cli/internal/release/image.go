package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageUser is the number of the user and the group that the image runs as.
const imageUser = 65532

// buildImage writes an image for all architectures: the program and certificate
// authorities, and nothing else.
func (r *release) buildImage(programs []program) error {
	if len(programs) == 0 {
		return nil
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		image, err := r.imageOf(p)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: p.system, Architecture: p.architecture},
		}})
	}
	folder := filepath.Join(r.work, "image")
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	// What loads the image calls it by the annotation.
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "chef-sync:" + r.version})); err != nil {
		return err
	}
	files, err := filesBelow(folder)
	if err != nil {
		return err
	}
	packed, err := packTar(files, r.time)
	if err != nil {
		return err
	}
	return os.WriteFile(r.name("chef-sync_%s_image.oci.tar", r.version), packed, 0o644)
}

// imageOf returns the image for one architecture.
func (r *release) imageOf(p program) (v1.Image, error) {
	packed, err := packTar(imageFiles(p), r.time)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make release"}})
	if err != nil {
		return nil, err
	}
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	return mutate.ConfigFile(image, r.imageConfig(image, p))
}

func (r *release) imageConfig(image v1.Image, p program) *v1.ConfigFile {
	old, err := image.ConfigFile()
	if err != nil {
		old = &v1.ConfigFile{} // writing the image reports it
	}
	c := old.DeepCopy()
	c.OS, c.Architecture, c.Created = p.system, p.architecture, v1.Time{Time: r.time}
	c.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", imageUser, imageUser),
		Entrypoint: []string{"/usr/bin/chef-sync-ctl"},
		Cmd:        []string{"run", "--log-format", "json"},
		Env:        []string{"PATH=/usr/bin", "HOME=/var/lib/chef-sync"},
		WorkingDir: "/etc/chef-sync",
		Volumes:    map[string]struct{}{"/var/lib/chef-sync": {}},
		StopSignal: "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "Chef Replication",
			"org.opencontainers.image.version":  r.version,
			"org.opencontainers.image.revision": r.commit,
			"org.opencontainers.image.created":  r.time.UTC().Format(time.RFC3339),
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return c
}

// imageFiles returns the files of the image.
func imageFiles(p program) []file {
	folder := func(name string, mode fs.FileMode, owner int) file { return file{name: name, mode: mode, owner: owner} }
	return []file{
		folder("etc/", 0o755, 0),
		folder("etc/chef-sync/", 0o755, 0),
		{name: "etc/group", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:\nchef-sync:x:%d:\n", imageUser)},
		{name: "etc/passwd", mode: 0o644, content: fmt.Appendf(nil,
			"root:x:0:0::/:/sbin/nologin\nchef-sync:x:%d:%d::/var/lib/chef-sync:/sbin/nologin\n", imageUser, imageUser)},
		folder("etc/ssl/", 0o755, 0),
		folder("etc/ssl/certs/", 0o755, 0),
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities()},
		folder("tmp/", 0o777|fs.ModeSticky, 0),
		folder("usr/", 0o755, 0),
		folder("usr/bin/", 0o755, 0),
		{name: "usr/bin/chef-sync-ctl", mode: 0o755, path: p.path},
		folder("var/", 0o755, 0),
		folder("var/lib/", 0o755, 0),
		folder("var/lib/chef-sync/", 0o750, imageUser),
	}
}

// authorities returns the certificates of the authorities that Mozilla trusts, in the
// version of go.mod, so that the image doesn't depend on the machine. Those with
// constraints are left out: a file of certificates can't express them.
func authorities() []byte {
	var text []byte
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
		}
	}
	return text
}

// filesBelow returns the files of a folder, as they are to be packed.
func filesBelow(folder string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		name, err := filepath.Rel(folder, path)
		f := file{name: filepath.ToSlash(name), path: path, mode: 0o644}
		if e.IsDir() {
			f = file{name: f.name + "/", mode: 0o755}
		}
		files = append(files, f)
		return err
	})
	return files, err
}
