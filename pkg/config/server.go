package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
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
	v := Server{Name: name}
	s.recordForm("url", "URL")
	s.recordForm("key", formReference)
	s.recordForm("ca", formReference)
	rawURL, urlGiven := s.stringValue("url")
	user, userGiven := s.stringValue("user")
	key, keyGiven := s.stringValue("key")
	ca, caGiven := s.stringValue("ca")
	profile, profileGiven := s.stringValue("profile")
	if s.path == "primary" && !profileGiven && !userGiven && !keyGiven && s.ChefProfile != "" {
		profile, profileGiven = s.ChefProfile, true
	}
	var chef Credentials
	if profileGiven {
		chef = s.readCredentials(profile)
	}
	switch {
	case urlGiven:
		v.URL = s.serverURL("url", rawURL)
	case chef.URL != "":
		v.URL = chef.URL
	case !profileGiven || chef.Profile != "":
		s.reportMissing("url", `write url = "https://chef.example.com"`)
	}
	switch {
	case userGiven:
		if v.User = user; user == "" {
			s.badValue("user", "write the name of a user or client", "must not be empty")
		}
	case profileGiven:
		v.User = chef.User
	default:
		s.reportMissing("user", "write the user or client whose key it is, or profile with a profile of ~/.chef/credentials")
	}
	switch {
	case keyGiven:
		v.Key = s.keyRef("key", key)
	case profileGiven:
		v.Key = chef.Key
	default:
		s.reportMissing("key", `write key = "file:/etc/chef-sync/NAME.pem", or another reference`)
	}
	if caGiven {
		v.CA = s.keyRef("ca", ca)
	}
	s.recordServerSettings(v, map[string]bool{"url": urlGiven, "user": userGiven, "key": keyGiven, "ca": caGiven}, profile)
	v.Orgless = !s.boolValue("organizations", true)
	v.InsecureSkipVerify = s.boolValue("insecure_skip_verify", false)
	v.Connections = s.intValue("connections", defaultConnections, 1, 256)
	v.ConnectTimeout = s.durationValue("connect_timeout", defaultConnectTimeout, time.Second, "")
	v.ResponseTimeout = s.durationValue("response_timeout", defaultResponseTimeout, time.Second, "")
	v.FileHosts = s.matchingStrings("file_hosts", `^(\*\.)?[A-Za-z0-9_-]([A-Za-z0-9._:-]*[A-Za-z0-9])?$`,
		`write names without https:// and port, such as "chef-files.s3.eu-central-1.amazonaws.com" or "*.s3.amazonaws.com"`)
	v.Headers = s.readHeaders()
	return v
}

// recordServerSettings records the values that a profile may have given.
func (s *section) recordServerSettings(v Server, given map[string]bool, profile string) {
	for _, x := range []struct{ key, value string }{{"url", v.URL}, {"user", v.User}, {"key", v.Key.String()}, {"ca", v.CA.String()}} {
		if given[x.key] || profile == "" || x.key == "ca" {
			s.recordSetting(x.key, x.value, given[x.key])
			continue
		}
		s.settings = append(s.settings, Setting{Key: joinKey(s.path, x.key), Value: x.value, Origin: "profile " + profile})
	}
}

func (s *section) reportMissing(key, try string) {
	at := joinKey(s.path, key)
	if _, ok := s.values[key]; ok {
		return // there, and reported as wrong
	}
	s.positions[at] = s.positions[s.path]
	s.addProblem(at, try, "is missing")
}

func (s *section) keyRef(key, text string) KeyRef {
	r, try, err := s.parseKeyRef(text, s.configFolder())
	if err != nil {
		s.badValue(key, try, "%s", err)
	}
	return r
}

func (s *section) readCredentials(profile string) Credentials {
	c, err := s.Credentials(profile)
	if err != nil {
		s.badValue("profile", "", "%s", err)
	}
	return c
}

func (s *section) serverURL(key, text string) string {
	u, org, err := NormalizeURL(text)
	switch {
	case err != nil:
		s.badValue(key, `write only the server, such as "https://chef.example.com"`, "%s", err)
	case org != "":
		s.badValue(key, fmt.Sprintf("write %q here, and the organization under [[organization]]", u), "contains the organization %q", org)
	}
	return u
}

// readFeedURL reads the URL of updated_since, if another server serves it.
func (s *section) readFeedURL() string {
	s.recordForm("feed_url", "URL")
	text, given := s.stringValue("feed_url")
	if text != "" {
		text = s.serverURL("feed_url", text)
	}
	s.recordSetting("feed_url", text, given)
	return text
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
	if ok, reErr := regexp.MatchString(`^[a-z0-9._:%-]+$`, host); reErr != nil || !ok {
		return "", "", fmt.Errorf("has an invalid host name")
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
