package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"chef-sync-ctl": func() { os.Exit(run(os.Args[1:])) },
	})
}

// TestScripts runs the program as its users do: each script is a session.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_PROXY", "127.0.0.1")
			env.Values[sitesKey{}] = &sites{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"chef":   chefCommand,
			"code":   codeCommand,
			"golden": goldenCommand,
			"lease":  leaseCommand,
			"schema": schemaCommand,
		},
	})
}
