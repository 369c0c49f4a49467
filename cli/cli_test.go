package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/cli/internal/awsstack"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"chef-sync-ctl": func() { os.Exit(Main(os.Args[1:], awsstack.New)) },
	})
}

// TestScripts runs the program as its users do: each script is a session.
func TestScripts(t *testing.T) {
	runScripts(t, testscript.Params{Dir: filepath.Join("testdata", "script")}, false)
}

// TestTheSameScriptsOnAStack runs sessions of TestScripts on a stack: every
// command prints the same and ends with the same code.
func TestTheSameScriptsOnAStack(t *testing.T) {
	var files []string
	for _, name := range []string{"lifecycle", "trouble", "lock", "drift", "undo"} {
		files = append(files, filepath.Join("testdata", "script", name+".txtar"))
	}
	runScripts(t, testscript.Params{Files: files}, true)
}

// TestScriptsOnAStack runs sessions that only make sense on a stack.
func TestScriptsOnAStack(t *testing.T) {
	runScripts(t, testscript.Params{Dir: filepath.Join("testdata", "stack")}, true)
}

func runScripts(t *testing.T, p testscript.Params, onStack bool) {
	p.RequireExplicitExec, p.RequireUniqueNames = true, true
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("HOME", env.WorkDir)
		env.Setenv("NO_PROXY", "127.0.0.1")
		env.Values[sitesKey{}] = &sites{}
		if !onStack {
			return nil
		}
		d, err := deploy(t.Context(), env)
		env.Values[stackKey{}] = d
		return err
	}
	p.Condition = func(name string) (bool, error) {
		switch name {
		case "stack":
			return onStack, nil
		case "fake":
			return onStack && os.Getenv(endpointName) == "", nil
		}
		return false, fmt.Errorf("unknown condition %s", name)
	}
	p.Cmds = map[string]func(*testscript.TestScript, bool, []string){
		"chef":     chefCommand,
		"code":     codeCommand,
		"daemon":   daemonCommand,
		"golden":   goldenCommand,
		"hup":      hupCommand,
		"json":     jsonCommand,
		"lease":    leaseCommand,
		"passes":   passesCommand,
		"ports":    portsCommand,
		"readme":   readmeCommand,
		"receiver": receiverCommand,
		"scans":    scansCommand,
		"schema":   schemaCommand,
		"stack":    stackCommand,
		"until":    untilCommand,
		"http":     httpCommand,
		"fleet":    fleetCommand,
		"screen":   screenCommand,
	}
	testscript.Run(t, p)
}
