package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chefsync/pkg/replication"

	"github.com/pelletier/go-toml/v2"
)

// FileName is the default name of the configuration file.
const FileName = "chef-sync.toml"

// maxSize is the largest configuration that is read, in bytes.
const maxSize = 1 << 20

// byteOrderMark is what editors on Windows put in front of UTF-8.
const byteOrderMark = "\ufeff"

// minStageSize is the smallest useful limit of a stage.
const minStageSize = 1 << 20

// Config is a valid configuration.
type Config struct {
	File          string // as it was named
	Primary       Server
	Feed          string // FeedAuto, FeedUpdatedSince or FeedChangeLog
	FeedURL       string // of the server that serves updated_since, "" for the primary itself
	ChangeLog     ChangeLog
	Replicas      []Server
	Organizations []Organization
	StatePath     string // of the SQLite file
	StagePath     string // of the folder
	StageSize     int64  // the most bytes that are kept; 0 is no limit, SizeAuto depends on the disk
	LogLevel      string // debug, info, warn or error
	Notify        Notify
	StatusPage    StatusPage
	AWS           AWS
	settings      []Setting
	positions     map[string]position
}

// Values of feed.
const (
	FeedAuto         = "auto"          // that of the primary, or the change log if it serves none
	FeedUpdatedSince = "updated_since" // only that of the primary
	FeedChangeLog    = "journal"       // only the change log
)

// Server is a Chef Server and how to reach it.
type Server struct {
	Name               string // "primary", or the name of the replica
	URL                string // scheme, host and port alone, lower case
	User               string
	Key                KeyRef
	CA                 KeyRef // PEM bundle trusted besides the system's; may be zero
	InsecureSkipVerify bool
	Orgless            bool              // no organizations: goiardi, Chef 11
	Connections        int               // API requests in flight
	ConnectTimeout     time.Duration     // of a connection, and of the TLS handshake after it
	ResponseTimeout    time.Duration     // how long a request may make no progress
	Headers            map[string]KeyRef // sent with each request, by name
	FileHosts          []string          // where cookbook files may be besides the server itself
}

// OrglessName stands for the organization of a server that has none.
const OrglessName = "default"

// Organization is one [[organization]] of the file.
type Organization struct {
	replication.Pair        // what its pairs have in common
	Destination      string // "" for the default
	Replicas         []string

	key        string // its position, such as organization[0]
	kindsGiven bool
}

// Loader reads configurations. Its fields are what it takes from the process; the zero
// Loader uses the text only.
type Loader struct {
	// Env looks up environment variables, as os.LookupEnv.
	Env func(string) (string, bool)
	// Home is the user's home folder, "" when unknown.
	Home string
	// System is whether the program runs as a service of the system: state is kept
	// below /var/lib.
	System bool
	// ChefProfile is the profile of the Chef credentials file that gives the
	// primary's user and key if the configuration names neither these nor a profile.
	ChefProfile string
}

// ProcessLoader returns a Loader with the environment of the process.
func ProcessLoader() Loader {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	return Loader{Env: os.LookupEnv, Home: home, System: os.Geteuid() == 0}
}

// Load reads a file. What is wrong with its content is reported as [Problems].
func (l Loader) Load(path string) (*Config, error) {
	data, err := readFile(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return l.Parse(path, data)
}

// Parse reads the text of a file. Messages call it by name, and relative paths are
// relative to the folder of name.
func (l Loader) Parse(name string, data []byte) (*Config, error) {
	if len(data) > maxSize {
		return nil, Problems{{File: name, Message: fmt.Sprintf("larger than %d bytes", maxSize)}}
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark)) // a stack reads the file as it was uploaded
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		return nil, Problems{syntaxProblem(name, err)}
	}
	r := &reader{Loader: l, file: name, positions: keyPositions(data)}
	c := r.readConfig(&section{reader: r, values: values})
	if len(r.problems) > 0 {
		return nil, r.problems.sortByPosition()
	}
	c.settings, c.positions = r.settings, r.positions
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

func (r *reader) readConfig(top *section) *Config {
	c := &Config{File: r.file}
	primary := top.subTable("primary", true)
	c.Primary = primary.readServer("primary")
	c.Feed = enumValue(primary, "feed", FeedAuto, FeedAuto, FeedUpdatedSince, FeedChangeLog)
	c.FeedURL = primary.readFeedURL()
	primary.reportUnknownKeys(otherServerKeys())
	for i, s := range top.subTables("replica") {
		c.Replicas = append(c.Replicas, s.readServer(s.readReplicaName()))
		s.reportUnknownKeys(otherServerKeys())
		r.checkReplica(c, i)
	}
	for _, s := range top.subTables("organization") {
		c.Organizations = append(c.Organizations, s.readOrganization(c))
	}
	c.ChangeLog = top.subTable("journal", true).readChangeLog()
	state, stage, log := top.subTable("state", true), top.subTable("stage", true), top.subTable("log", true)
	c.StatePath = state.pathValue("path", filepath.Join(r.stateFolder(), "state.db"))
	c.StagePath = stage.pathValue("path", filepath.Join(filepath.Dir(c.StatePath), "stage"))
	c.StageSize = stage.sizeValue("size", minStageSize)
	c.LogLevel = enumValue(log, "level", "info", "debug", "info", "warn", "error")
	state.reportUnknownKeys(nil)
	stage.reportUnknownKeys(map[string]string{"max_size": "size", "limit": "size", "stage_size": "size"})
	log.reportUnknownKeys(nil)
	c.Notify = top.subTable("notify", true).readNotify()
	c.StatusPage = top.subTable("status", true).readStatusPage()
	c.AWS = top.subTable("aws", false).readAWS(c.Feed, c.ChangeLog)
	top.reportUnknownKeys(map[string]string{"master": "[primary]", "source": "[primary]", "replicas": "[[replica]]",
		"destination":   "[[replica]]",
		"organizations": "[[organization]]", "orgs": "[[organization]]", "org": "[[organization]]", "staging": "[stage]",
		"changes": "[journal]", "data_collector": "[journal]", "logging": "[log]",
		"notifications": "[notify]", "alerts": "[notify]", "web": "[status]", "metrics": "[status]", "health": "[status]"})
	r.checkConfig(c)
	return c
}

func (l Loader) lookupEnv(name string) (string, bool) {
	if l.Env == nil {
		return "", false
	}
	return l.Env(name)
}

// stateFolder returns the default folder of the state. With a configuration of the system,
// below /etc, it is the same for every user: the service and whoever asks for its status
// are different ones.
func (r *reader) stateFolder() string {
	const ofSystem = "/var/lib/chef-sync"
	if strings.HasPrefix(r.configFolder()+"/", "/etc/") {
		return ofSystem
	}
	if dir, ok := r.lookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "chef-sync")
	}
	if r.System || r.Home == "" {
		return ofSystem
	}
	return filepath.Join(r.Home, ".local", "state", "chef-sync")
}

func (r *reader) configFolder() string {
	folder := filepath.Dir(r.file)
	if abs, err := filepath.Abs(folder); err == nil {
		return abs
	}
	return folder
}
