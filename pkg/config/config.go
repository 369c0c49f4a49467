package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"

	"github.com/pelletier/go-toml/v2"
)

// FileName is the usual name of the configuration file.
const FileName = "chef-sync.toml"

// maxSize is the largest configuration that is read, in bytes.
const maxSize = 1 << 20

// leastStage is the smallest limit of a stage that is of use.
const leastStage = 1 << 20

// Config is a configuration without contradictions.
type Config struct {
	File          string // as it was named
	Primary       Server
	Feed          string // auto, updated_since or journal
	FeedURL       string // of the server that serves updated_since, "" for the primary itself
	Journal       Journal
	Replicas      []Server
	Organizations []Organization
	StatePath     string // of the SQLite file
	StagePath     string // of the folder
	StageSize     int64  // the most bytes that stay in it; 0 is no limit, SizeAuto goes by the disk
	LogLevel      string // debug, info, warn or error
	AWS           AWS
	settings      []Setting
	places        map[string]place
}

// Server is a Chef Server and how to reach it.
type Server struct {
	Name               string // "primary", or the name of the replica
	URL                string // scheme, host and port alone, lower case
	User               string
	Key                KeyRef
	CA                 KeyRef // PEM bundle trusted besides the system's; may be zero
	InsecureSkipVerify bool
	Orgless            bool          // no organizations: goiardi, Chef 11
	Connections        int           // API requests in flight
	ConnectTimeout     time.Duration // of a connection, and of the TLS handshake after it
	ResponseTimeout    time.Duration // how long a request may make no progress
	FileHosts          []string      // where cookbook files may be besides the server itself
}

// OrglessName stands for the organization of a server that has none.
const OrglessName = "default"

// Organization is one [[organization]] of the file.
type Organization struct {
	Source       string
	Destination  string // "" for the default
	Replicas     []string
	Interval     time.Duration
	Kinds        []object.Kind
	Selection    replication.Selection // of names; the zero one selects all
	Prune        replication.Prune
	MaxDelete    replication.Limit
	CompareEvery time.Duration
	// ReconcileEvery, VerifyEvery and VerifyFilesEvery are 0 for never.
	ReconcileEvery, VerifyEvery, VerifyFilesEvery time.Duration
	Drift                                         replication.DriftRule

	key        string // where it stands, such as organization[0]
	kindsGiven bool
}

// Loader reads configurations. Its fields are what it takes from the process;
// with the zero Loader nothing outside the text counts.
type Loader struct {
	// Env looks up environment variables, as os.LookupEnv.
	Env func(string) (string, bool)
	// Home is the user's home folder, "" when unknown.
	Home string
	// System says that the program runs as a service of the system: state goes
	// below /var/lib.
	System bool
	// ChefProfile is the profile of the Chef credentials file that gives the
	// primary's user and key where the configuration names neither these nor a
	// profile.
	ChefProfile string
}

// ProcessLoader takes everything from the process itself.
func ProcessLoader() Loader {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	return Loader{Env: os.LookupEnv, Home: home, System: os.Geteuid() == 0}
}

// Load reads a file with the process's environment. What is wrong with its
// content is reported as [Problems].
func Load(path string) (*Config, error) { return ProcessLoader().Load(path) }

// Parse is Load for text that was read elsewhere. Name stands for it in
// messages, and relative paths start at its folder.
func Parse(name string, data []byte) (*Config, error) { return ProcessLoader().Parse(name, data) }

// Load reads a file.
func (l Loader) Load(path string) (*Config, error) {
	data, err := readFile(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return l.Parse(path, data)
}

// Parse reads the text of a file.
func (l Loader) Parse(name string, data []byte) (*Config, error) {
	if len(data) > maxSize {
		return nil, Problems{{File: name, Message: fmt.Sprintf("larger than %d bytes", maxSize)}}
	}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		return nil, Problems{syntaxProblem(name, err)}
	}
	r := &reader{Loader: l, file: name, places: places(data)}
	c := r.config(&section{reader: r, values: values})
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	c.settings, c.places = r.settings, r.places
	return c, nil
}

func syntaxProblem(name string, err error) Problem {
	p := Problem{File: name, Message: strings.TrimPrefix(err.Error(), "toml: "), Try: "the file must be TOML (https://toml.io)"}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		p.Line, p.Column = at.Position()
		p.Key = strings.Join(at.Key(), ".")
	}
	return p
}

func (r *reader) config(top *section) *Config {
	c := &Config{File: r.file}
	primary := top.table("primary", true)
	c.Primary = primary.server("primary")
	c.Feed = primary.word("feed", "auto", "auto", "updated_since", "journal")
	c.FeedURL = primary.feedURL()
	primary.done(otherServerWords())
	for i, s := range top.tables("replica") {
		c.Replicas = append(c.Replicas, s.server(s.replicaName()))
		s.done(otherServerWords())
		r.checkReplica(c, i)
	}
	for _, s := range top.tables("organization") {
		c.Organizations = append(c.Organizations, s.organization(c))
	}
	c.Journal = top.table("journal", true).journal()
	state, stage, log := top.table("state", true), top.table("stage", true), top.table("log", true)
	c.StatePath = state.filePath("path", filepath.Join(r.stateFolder(), "state.db"))
	c.StagePath = stage.filePath("path", filepath.Join(filepath.Dir(c.StatePath), "stage"))
	c.StageSize = stage.size("size", leastStage)
	c.LogLevel = log.word("level", "info", "debug", "info", "warn", "error")
	state.done(nil)
	stage.done(map[string]string{"max_size": "size", "limit": "size", "stage_size": "size"})
	log.done(nil)
	c.AWS = top.table("aws", false).aws(c.Feed, c.Journal)
	top.done(map[string]string{"master": "[primary]", "source": "[primary]", "replicas": "[[replica]]", "destination": "[[replica]]",
		"organizations": "[[organization]]", "orgs": "[[organization]]", "org": "[[organization]]", "staging": "[stage]", "changes": "[journal]", "data_collector": "[journal]", "logging": "[log]"})
	r.check(c)
	return c
}

func (l Loader) lookup(name string) (string, bool) {
	if l.Env == nil {
		return "", false
	}
	return l.Env(name)
}

// stateFolder is where state goes by default.
func (l Loader) stateFolder() string {
	if dir, ok := l.lookup("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "chef-sync")
	}
	if l.System || l.Home == "" {
		return "/var/lib/chef-sync"
	}
	return filepath.Join(l.Home, ".local", "state", "chef-sync")
}

func (r *reader) folder() string {
	folder := filepath.Dir(r.file)
	if abs, err := filepath.Abs(folder); err == nil {
		return abs
	}
	return folder
}

func (s *section) filePath(key, fallback string) string {
	value, given := s.text(key)
	switch {
	case !given:
		value = fallback
	case value == "":
		s.bad(key, "write a path, or leave the key out", "must not be empty")
	default:
		value = s.Loader.path(value, s.folder())
	}
	s.effective(key, value, given)
	return value
}
