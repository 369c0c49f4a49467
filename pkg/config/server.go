package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Defaults of a server.
const (
	defaultConnections     = 10 // API requests in flight
	defaultConnectTimeout  = 5 * time.Second
	defaultResponseTimeout = 30 * time.Second
)

// otherServerKeys returns keys of knife and of the old product, with their names here.
func otherServerKeys() map[string]string {
	return map[string]string{"chef_server_url": "url", "client_name": "user", "node_name": "user", "username": "user",
		"client_key": "key", "pem": "key", "sync_user": "user", "sync_key": "key", "private_key": "key",
		"ssl_verify_mode": "insecure_skip_verify", "insecure": "insecure_skip_verify", "concurrency": "connections",
		"orgless": "organizations = false", "header": "headers", "custom_http_headers": "headers",
		"timeout": "response_timeout", "read_timeout": "response_timeout", "http_timeout": "response_timeout"}
}

// readServer reads the settings that the primary and the replicas have in common.
func (s *section) readServer(name string) Server {
	chef := s.readProfile()
	user := textType("user", "string", func(v string) (string, error) {
		switch {
		case v == "":
			return "", refuse("write the name of a user or client", "must not be empty")
		case strings.ContainsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
			return "", refuse("write the name of a user or client", "%q contains spaces or control characters", v)
		}
		return v, nil
	}, sameText)
	return Server{
		Name: name,
		URL:  readCredential(s, chef, "url", textType("url", "URL", parseServerURL, sameText), chef.URL, `write url = "https://chef.example.com"`),
		User: readCredential(s, chef, "user", user, chef.User,
			"write the user or client whose key it is, or profile with a profile of ~/.chef/credentials"),
		Key: readCredential(s, chef, "key", textType("key", formReference, s.parseRef, KeyRef.String), chef.Key,
			`write key = "file:/etc/chef-sync/NAME.pem", or another reference`),
		CA:                 s.refValue("ca"),
		Orgless:            !s.boolValue("organizations", true),
		InsecureSkipVerify: s.boolValue("insecure_skip_verify", false),
		Connections:        s.intValue("connections", defaultConnections, 1, 256),
		ConnectTimeout:     s.durationValue("connect_timeout", defaultConnectTimeout, time.Second),
		ResponseTimeout:    s.durationValue("response_timeout", defaultResponseTimeout, time.Second),
		FileHosts: s.matchingStrings("file_hosts", `^(\*\.)?[A-Za-z0-9_-]([A-Za-z0-9._:-]*[A-Za-z0-9])?$`,
			`write names without https:// and port, such as "chef-files.s3.eu-central-1.amazonaws.com" or "*.s3.amazonaws.com"`),
		Headers: s.readHeaders(),
	}
}

// profile is what a profile of Chef's credentials file gives a server that names one. It
// gives nothing if it can't be read, which is a problem.
type profile struct {
	Credentials
	named bool
}

func (s *section) readProfile() (chef profile) {
	chef.Credentials, chef.named = parseKey(s, "profile", Credentials{}, textType("profile", "string", s.Credentials, nil))
	_, hasUser := s.lookUp("user")
	_, hasKey := s.lookUp("key")
	if s.path == "primary" && !chef.named && !hasUser && !hasKey && s.ChefProfile != "" {
		var err error
		if chef.Credentials, err = s.Credentials(s.ChefProfile); err != nil {
			s.refuseValue("profile", err)
		}
		chef.named = true
	}
	return chef
}

// readCredential reads a key that a profile can give if the file doesn't.
func readCredential[T any](s *section, chef profile, key string, t keyType[T], ofProfile T, missing string) T {
	value, given := parseKey(s, key, ofProfile, t)
	switch {
	case given:
		s.recordOrigin(key, t.text(value), s.originOf(key))
	case t.text(value) != "" || chef.named && chef.Profile == "":
		s.recordOrigin(key, t.text(value), "profile "+chef.Profile)
	default:
		s.reportMissing(key, missing)
	}
	return value
}

func (s *section) reportMissing(key, try string) {
	at := joinKey(s.path, key)
	s.positions[at] = s.positions[s.path]
	s.addProblem(at, try, "is missing")
}

func parseServerURL(text string) (string, error) {
	u, org, err := NormalizeURL(text)
	switch {
	case err != nil:
		return "", refuse(`write only the server, such as "https://chef.example.com"`, "%s", err)
	case org != "":
		return "", refuse(fmt.Sprintf("write %q here, and the organization under [[organization]]", u), "contains the organization %q", org)
	}
	return u, nil
}

// readFeedURL reads the URL of updated_since, if another server serves it.
func (s *section) readFeedURL() string {
	return readText(s, "feed_url", "URL", "", func(text string) (string, error) {
		if text == "" {
			return "", nil
		}
		return parseServerURL(text)
	}, sameText)
}

// NormalizeURL returns the URL of a Chef Server in the form by which servers are
// compared: scheme and host in lower case, no default port, no trailing
// slash. An organization at the end, as in knife's chef_server_url, is split off.
// Errors don't quote the URL, which may hold a password.
func NormalizeURL(text string) (server, org string, err error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return "", "", fmt.Errorf("not a URL")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return "", "", fmt.Errorf("not the URL of a server")
	case u.User != nil:
		return "", "", fmt.Errorf("a URL with a user or password isn't allowed: Chef Servers require a signature")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", "", fmt.Errorf("has a query or fragment")
	}
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if !matches(`^[a-z0-9._:%-]+$`, host) {
		return "", "", fmt.Errorf("has an invalid host name")
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return "", "", fmt.Errorf("has an invalid port")
	}
	if u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		port = ""
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	path := strings.Trim(u.Path, "/")
	if rest, ok := strings.CutPrefix(path, "organizations/"); ok && !strings.Contains(rest, "/") {
		path, org = "", rest
	}
	if path != "" {
		return "", "", fmt.Errorf("has a path, where Chef Servers have none")
	}
	return u.Scheme + "://" + host, org, nil
}
