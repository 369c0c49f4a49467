package main

import "github.com/spf13/cobra"

// commands are all commands, in the order of help.
func commands(g *globals) []*cobra.Command {
	return []*cobra.Command{
		newVersionCmd(g),
	}
}
