package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"

	"chefsync/infra/chefsync"
	"chefsync/pkg/config"
)

const (
	templateFile = "chef-sync.template.json"
	// functionsFolder is the folder of the ZIP files in the artifact bucket; deploy.sh
	// uploads them there under their names.
	functionsFolder = "functions"
)

// writeRelease writes what deploy.sh deploys to a folder: the template and the ZIP files
// of the functions. A file's name has the hash of its content, so that a template names
// the very functions that it was released with, and an upgrade replaces those that
// changed.
func writeRelease(log io.Writer, context map[string]any, folder, architecture string) error {
	a := config.AWS{Architecture: architecture, ChangeLog: true, ChangeLogURL: true}
	built, err := buildFunctions(log, "dist", a)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	keys := map[string]string{}
	for name, from := range built {
		file, err := writeZip(folder, name, filepath.Join(from, "bootstrap"))
		if err != nil {
			return fmt.Errorf("pack function %s: %w", name, err)
		}
		keys[name] = functionsFolder + "/" + file
	}
	text, err := synthesizeTemplate(context, &chefsync.TemplateProps{Keys: keys, Architecture: architecture})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, templateFile), text, 0o644)
}

// writeZip packs a program, and returns the name of the file. The same program makes the
// same file.
func writeZip(folder, name, program string) (file string, err error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	header.SetMode(0o755)
	w, err := z.CreateHeader(header)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(content); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	hash := sha256.Sum256(content)
	file = fmt.Sprintf("%s-%x.zip", name, hash[:8])
	return file, os.WriteFile(filepath.Join(folder, file), b.Bytes(), 0o644)
}

func synthesizeTemplate(context map[string]any, props *chefsync.TemplateProps) ([]byte, error) {
	outdir, err := os.MkdirTemp("", "chef-sync-template")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(outdir) // a temporary folder
	app := awscdk.NewApp(&awscdk.AppProps{Context: &context, Outdir: &outdir})
	stack := chefsync.NewTemplate(app, props)
	return chefsync.RenderTemplate(app.Synth(nil).GetStackByName(stack.Stack().StackName()).Template())
}
