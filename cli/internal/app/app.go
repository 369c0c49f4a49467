// Package app is the program with its configuration: what package assembly joins,
// over files on this machine, in the words and exit codes of the command line.
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
	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
	"chefsync/pkg/state"
)

// Pair is a pair with the replica that it goes to.
type Pair = config.PairConfig

// Options say how to open an App.
type Options struct {
	ConfigPath  string // "" means the usual places
	ChefProfile string // of ~/.chef/credentials
	Env         func(string) (string, bool)
	Now         func() time.Time
	Log         LogOptions
}

// App is the program with its configuration.
type App struct {
	*assembly.Fleet
	files  *files
	loader config.Loader

	mu   sync.Mutex
	logs *state.LogHandler
}

// Open reads the configuration. Nothing else is opened before it is needed.
func Open(_ context.Context, o Options) (*App, error) {
	c, loader, err := load(o)
	if err != nil {
		return nil, err
	}
	kept := &files{statePath: c.StatePath, stagePath: c.StagePath}
	return &App{
		Fleet: assembly.New(assembly.Options{Config: c, Backend: kept, Log: slog.New(o.Log.handler(c.LogLevel)), Now: o.Now}),
		files: kept, loader: loader,
	}, nil
}

// Close writes what is left of the log and closes the state.
func (a *App) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logs != nil {
		_ = a.logs.Close() // it has warned by itself
	}
	return a.files.close()
}

// Select finds the pairs that arguments name: an organization means all its
// pairs, REPLICA/ORG one, no argument all.
func (a *App) Select(args ...string) ([]Pair, error) {
	pairs, err := a.Fleet.Select(args...)
	var unknown *assembly.UnknownPairError
	if errors.As(err, &unknown) {
		names := make([]string, len(unknown.Known))
		for i, id := range unknown.Known {
			names[i] = id.String()
		}
		return nil, exit.With(exit.NotFound, err, "one of: "+strings.Join(names, ", "))
	}
	return pairs, err
}

// Logs opens the state with its log.
func (a *App) Logs(ctx context.Context) (*state.SQLite, error) { return a.files.open(ctx) }

// stageAge is how long content that nobody asked for stays staged.
const stageAge = 7 * 24 * time.Hour

// SweepStage removes staged content that is old.
func (a *App) SweepStage(ctx context.Context) error {
	s, err := a.files.openStage()
	if err != nil {
		return err
	}
	_, err = s.Sweep(ctx, stageAge)
	return err
}

// load reads the configuration.
func load(o Options) (*config.Config, config.Loader, error) {
	loader := config.ProcessLoader()
	path, err := FindConfig(o.ConfigPath)
	if err != nil {
		return nil, loader, err
	}
	loader.Env, loader.ChefProfile = o.Env, o.ChefProfile
	c, err := loader.Load(path)
	var wrong config.Problems
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, loader, exit.With(exit.Usage, err, "chef-sync-ctl init")
	case errors.As(err, &wrong):
		return nil, loader, exit.With(exit.Usage, fmt.Errorf("the configuration can't be used:\n%w", err), "")
	case err != nil:
		return nil, loader, exit.With(exit.Usage, err, "")
	}
	if c.Feed == feedJournal {
		return nil, loader, exit.Usagef(`write feed = "auto"`, `%s: feed = "journal" is not available in this version`, path)
	}
	return c, loader, nil
}

// feedJournal is the word in the configuration.
const feedJournal = "journal"

// usualPlaces are where the configuration is looked for.
func usualPlaces() []string {
	return []string{config.FileName, "/etc/chef-sync/" + config.FileName}
}

// FindConfig is the configuration file to use: the one that was named, else the
// first of the usual places that is there.
func FindConfig(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	for _, p := range usualPlaces() {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", exit.Usagef("chef-sync-ctl init, or --config FILE", "there is no configuration: neither %s", strings.Join(usualPlaces(), " nor "))
}
