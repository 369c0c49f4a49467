// The program generate writes the reference documentation:
//
//	generate docs FOLDER  # commands.md, configuration.md and compatibility.md
//	generate man FOLDER   # manual pages
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"chefsync/cli"
	"chefsync/cli/internal/reference"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: generate docs|man FOLDER")
	}
	var files map[string]string
	switch args[0] {
	case "docs":
		text, err := reference.Configuration()
		if err != nil {
			return err
		}
		files = map[string]string{"commands.md": reference.Commands(cli.Command()), "configuration.md": text, "compatibility.md": reference.Compatibility()}
	case "man":
		files = reference.Man(cli.Command())
	default:
		return fmt.Errorf("%q is neither docs nor man", args[0])
	}
	if err := os.MkdirAll(args[1], 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(args[1], name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
