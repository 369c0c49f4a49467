package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Credentials is a profile of Chef's own credentials file.
type Credentials struct {
	File    string
	Profile string
	User    string
	Key     KeyRef
	URL     string // "" when the profile has none
	Org     string // from the end of chef_server_url, may be ""
}

// Credentials reads a profile of ~/.chef/credentials, or of the file that
// CHEF_CREDENTIALS_FILE names, as knife does: client_name or node_name, client_key as
// a path below ~/.chef or the key itself, chef_server_url. Without a name,
// CHEF_PROFILE, ~/.chef/context and "default" are tried in this order. knife.rb and
// config.rb are Ruby programs and aren't read.
func (l Loader) Credentials(profile string) (Credentials, error) {
	file, home, err := l.credentialsFile()
	if err != nil {
		return Credentials{}, err
	}
	profile = l.profileName(profile, home)
	profiles, err := readProfiles(file, home)
	if err != nil {
		return Credentials{}, err
	}
	c := Credentials{File: file, Profile: profile}
	values, err := findProfile(profiles, profile)
	if err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", file, err)
	}
	if err := l.fillCredentials(&c, values, home); err != nil {
		return Credentials{}, fmt.Errorf("%s: profile %q: %w", file, profile, err)
	}
	return c, nil
}

// ProfilesOf returns the profiles whose chef_server_url is at a server, sorted by name.
// Profiles that can't be used are left out.
func (l Loader) ProfilesOf(server string) (list []Credentials) {
	file, home, err := l.credentialsFile()
	if err != nil {
		return nil
	}
	profiles, err := readProfiles(file, home)
	if err != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		values, ok := profiles[name].(map[string]any)
		c := Credentials{File: file, Profile: name}
		if ok && l.fillCredentials(&c, values, home) == nil && c.URL == server {
			list = append(list, c)
		}
	}
	return list
}

// credentialsFile returns the path of Chef's credentials file and the folder of its keys.
func (l Loader) credentialsFile() (file, home string, err error) {
	home = filepath.Join(l.Home, ".chef")
	if other, ok := l.lookupEnv("CHEF_CREDENTIALS_FILE"); ok && other != "" {
		return l.resolvePath(other, ""), home, nil
	}
	if l.Home == "" {
		return "", "", errors.New("the home folder isn't known; set CHEF_CREDENTIALS_FILE")
	}
	return filepath.Join(home, "credentials"), home, nil
}

func readProfiles(file, home string) (map[string]any, error) {
	data, err := readFile(file, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s doesn't exist%s", file, rubyConfigHint(home))
	} else if err != nil {
		return nil, err
	}
	profiles := map[string]any{}
	if err := toml.Unmarshal(data, &profiles); err != nil {
		p := syntaxProblem(file, err)
		return nil, fmt.Errorf("%s:%d:%d: not valid TOML", file, p.Line, p.Column) // the text may hold a key
	}
	return profiles, nil
}

func (l Loader) profileName(name, home string) string {
	if name != "" {
		return name
	}
	if v, ok := l.lookupEnv("CHEF_PROFILE"); ok && v != "" {
		return v
	}
	if data, err := readFile(filepath.Join(home, "context"), 4096); err == nil && l.Home != "" {
		if v := strings.TrimSpace(string(data)); v != "" {
			return v
		}
	}
	return "default"
}

// rubyConfigHint explains that Ruby configuration isn't read, if there is some instead
// of credentials.
func rubyConfigHint(home string) string {
	for _, name := range []string{"config.rb", "knife.rb"} {
		if _, err := os.Stat(filepath.Join(home, name)); err == nil {
			return fmt.Sprintf("; %s exists, but it is a Ruby program and isn't read: write its node_name, client_key and "+
				"chef_server_url into %s under [default]",
				filepath.Join(home, name), filepath.Join(home, "credentials"))
		}
	}
	return ""
}

func findProfile(profiles map[string]any, name string) (map[string]any, error) {
	if values, ok := profiles[name].(map[string]any); ok {
		return values, nil
	}
	// [web.example.com] without quotes is a table in a table.
	values := profiles
	for part := range strings.SplitSeq(name, ".") {
		values, _ = values[part].(map[string]any)
	}
	if values != nil {
		return nil, fmt.Errorf("the name of profile %q has a dot and needs quotes: ['%s']", name, name)
	}
	known := slices.Sorted(maps.Keys(profiles))
	if w := DidYouMean(name, known); w != "" {
		return nil, fmt.Errorf("there is no profile %q; did you mean %q?", name, w)
	}
	return nil, fmt.Errorf("there is no profile %q; profiles are: %s", name, quoteList(known))
}

func (l Loader) fillCredentials(c *Credentials, values map[string]any, home string) error {
	text := func(key string) string {
		s, _ := values[key].(string)
		return s
	}
	if c.User = text("client_name"); c.User == "" {
		c.User = text("node_name")
	}
	if c.User == "" {
		return errors.New("client_name is missing")
	}
	switch key := text("client_key"); {
	case key == "":
		return errors.New("client_key is missing")
	case strings.Contains(key, "-----BEGIN"):
		c.Key = inlineRef("(inline key of profile "+c.Profile+")", key)
	case strings.ContainsAny(key, "\n\r"):
		return errors.New("client_key is neither a path nor a key in PEM format")
	default:
		c.Key = KeyRef{Scheme: "file", Name: l.resolvePath(key, home)}
	}
	if raw := text("chef_server_url"); raw != "" {
		server, org, err := NormalizeURL(raw)
		if err != nil {
			return fmt.Errorf("chef_server_url: %w", err)
		}
		c.URL, c.Org = server, org
	}
	return nil
}
