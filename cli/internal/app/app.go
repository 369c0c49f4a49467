// Package app opens the configuration and what it refers to: files of this machine, or a
// deployed stack on AWS.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/stack"
	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
)

// Pair is a pair with the replica that it goes to.
type Pair = config.PairConfig

// Options say how to open an App.
type Options struct {
	ConfigPath  string // "" means the usual places
	ChefProfile string // of ~/.chef/credentials
	// Stack is the deployed stack to work on: its name, NamedStack, or "" for
	// this machine.
	Stack           string
	Table           string                       // of the account instead of the stack's; "" for the stack's
	Profile, Region string                       // of AWS; "" for what AWS's own settings say
	AWS             func(stack.Access) stack.AWS // nil for a program without AWS
	Env             func(string) (string, bool)
	Now             func() time.Time
	// Owner names this process in leases, as assembly.NewOwner does; "" for a new name.
	Owner string
	Log   LogOptions
	Note  func(text string) // receives warnings; may be nil
}

// App is an opened configuration.
type App struct {
	*assembly.Fleet
	Stack  *stack.Stack // nil on this machine
	AWS    stack.AWS
	files  *localBackend // nil on a stack
	loader config.Loader
	owner  string

	mu         sync.Mutex
	logs       logstore.Store // nil until it is used
	logHandler *logstore.Handler
}

// Open reads the configuration of a file, or the one that is deployed to a stack. State and
// servers are opened when they are first used.
func Open(ctx context.Context, o Options) (*App, error) {
	if o.Stack != "" {
		return openStack(ctx, o)
	}
	c, loader, err := loadConfig(o)
	if err != nil {
		return nil, err
	}
	session := o.openAWS(c.AWS.Region)
	kept := newLocalBackend(c, session.Secrets())
	a := &App{AWS: session, files: kept, loader: loader, owner: o.ownerName()}
	a.Fleet = a.newFleet(c, kept, o)
	return a, nil
}

func (a *App) newFleet(c *config.Config, b assembly.Backend, o Options) *assembly.Fleet {
	options := assembly.Options{Config: c, Backend: b, Log: slog.New(o.Log.newHandler(c.LogLevel)), Now: o.Now, Owner: a.owner}
	if a.files != nil { // others work on it from this machine only
		options.OwnerDied = assembly.OwnerDied
	}
	return assembly.New(options)
}

// Close writes what is left of the log and closes the state.
func (a *App) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logHandler != nil {
		_ = a.logHandler.Close() // it has warned by itself
	}
	if a.logs != nil {
		_ = a.logs.Close() // all that could be written is written
	}
	if a.files == nil {
		return nil
	}
	return a.files.closeState()
}

// Present fails once the state's file was removed or replaced under this process.
func (a *App) Present() error {
	if a.files == nil {
		return nil
	}
	return a.files.checkPresent()
}

// stageAge is how long content that nobody asked for stays staged.
const stageAge = 7 * 24 * time.Hour

// SweepStage removes staged content that is old, or more than the stage may hold. A
// stack's bucket does that by itself.
func (a *App) SweepStage(ctx context.Context) error {
	if a.files == nil {
		return nil
	}
	s, err := a.files.openStage()
	if err != nil {
		return err
	}
	return s.Sweep(ctx, stageAge)
}

// loadConfig reads the configuration.
func loadConfig(o Options) (*config.Config, config.Loader, error) {
	loader := o.configLoader()
	path, err := FindConfig(o.ConfigPath)
	if err != nil {
		return nil, loader, err
	}
	c, err := loader.Load(path)
	var wrong config.Problems
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, loader, exit.With(exit.Usage, err, "chef-sync-ctl init --config "+path)
	case errors.As(err, &wrong):
		return nil, loader, exit.With(exit.Usage, fmt.Errorf("the configuration can't be used:\n%w", err), "")
	case errors.Is(err, fs.ErrPermission):
		return nil, loader, exit.With(exit.Usage, err, "run the command as the user of the service, such as: sudo -u chef-sync chef-sync-ctl")
	case err != nil:
		return nil, loader, exit.With(exit.Usage, err, "")
	}
	return c, loader, nil
}

func (o Options) ownerName() string {
	if o.Owner != "" {
		return o.Owner
	}
	return assembly.NewOwner()
}

// openAWS returns the account on AWS. The region is the one where nothing else names one.
func (o Options) openAWS(region string) stack.AWS {
	if o.AWS == nil {
		return stack.None{}
	}
	return o.AWS(stack.Access{Profile: o.Profile, Region: o.Region, Fallback: region})
}

func (o Options) configLoader() config.Loader {
	loader := config.ProcessLoader()
	loader.Env, loader.ChefProfile = o.Env, o.ChefProfile
	return loader
}

// usualPlaces are where the configuration is looked for.
func usualPlaces() []string {
	return []string{config.FileName, "/etc/chef-sync/" + config.FileName}
}

// FindConfig is the configuration file to use: the one that was named, else the
// first of the usual places that is there, or that can't be looked at: to say that it
// isn't there would be wrong, and another file must not be used instead. A working
// directory that may not be searched is that of another user, and is passed over: the
// command may be for the user of the service, such as with sudo.
func FindConfig(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	for _, p := range usualPlaces() {
		if _, err := os.Lstat(p); err != nil && p == config.FileName {
			continue
		}
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
	}
	return "", exit.Usagef("chef-sync-ctl init, or --config FILE", "there is no configuration: neither %s", strings.Join(usualPlaces(),
		" nor "))
}
