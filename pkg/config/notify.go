package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Notify is the [notify] table: how operators are told of pairs and servers that need
// attention. On AWS only After counts: there the same is published as events.
type Notify struct {
	After       time.Duration // how long a condition must last before it is told
	Webhooks    []Webhook
	Exec        []string // a program and its arguments; none for no program
	ExecTimeout time.Duration
	Ping        SecretURL // requested while the daemon is healthy; may be zero
	PingEvery   time.Duration
}

// Webhook is one [[notify.webhook]] of the file.
type Webhook struct {
	URL    SecretURL
	Format string // FormatJSON or FormatSlack
}

// Values of format of a webhook.
const (
	FormatJSON  = "json"
	FormatSlack = "slack"
)

// The defaults and limits of notifications.
const (
	defaultNotifyAfter = 5 * time.Minute
	defaultExecTimeout = 10 * time.Second
	maxExecTimeout     = time.Minute // other channels wait for it
	defaultPingEvery   = time.Minute
)

// SecretURL is a URL that may contain a secret, or a reference to one. It is printed as a
// reference, or as scheme and host. The zero SecretURL is none.
type SecretURL struct{ KeyRef }

// ID returns a name that differs between URLs, and doesn't contain the secret.
func (u SecretURL) ID() string {
	if u.Scheme != schemeInline {
		return u.String()
	}
	sum := sha256.Sum256(u.inline.Reveal())
	return u.String() + "#" + hex.EncodeToString(sum[:4])
}

// Resolve returns the URL. The error doesn't contain it.
func (u SecretURL) Resolve(ctx context.Context, resolvers map[string]Resolver) (*url.URL, error) {
	text, err := u.KeyRef.Resolve(ctx, resolvers)
	if err != nil {
		return nil, err
	}
	parsed, err := parseWebURL(string(text.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	return parsed, nil
}

// parseWebURL parses a URL of HTTP. The error doesn't contain it.
func parseWebURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return nil, errors.New("not a URL that starts with https:// or http://")
	}
	return u, nil
}

func (s *section) readNotify() Notify {
	n := Notify{
		After:       s.durationValue("after", defaultNotifyAfter, time.Second),
		Exec:        s.readCommand("exec"),
		ExecTimeout: s.durationValue("exec_timeout", defaultExecTimeout, time.Second),
		Ping:        s.secretURL("ping"),
		PingEvery:   s.durationValue("ping_every", defaultPingEvery, time.Second),
	}
	if n.ExecTimeout > maxExecTimeout {
		s.badValue("exec_timeout", "if the program needs longer, let it continue in the background", "at most %s", FormatDuration(maxExecTimeout))
	}
	for _, w := range s.subTables("webhook") {
		hook := Webhook{URL: w.secretURL("url"), Format: enumValue(w, "format", FormatJSON, FormatJSON, FormatSlack)}
		if _, given := w.values["url"]; !given {
			w.reportMissing("url", `write url = "https://...", or a reference to it: file:PATH or env:NAME`)
		}
		if slices.ContainsFunc(n.Webhooks, func(other Webhook) bool { return !hook.URL.IsZero() && other.URL.ID() == hook.URL.ID() }) {
			w.badValue("url", "", "the same as that of another webhook")
		}
		n.Webhooks = append(n.Webhooks, hook)
		w.reportUnknownKeys(map[string]string{"type": "format", "kind": "format", "webhook": "url", "address": "url"})
	}
	s.reportUnknownKeys(map[string]string{"webhooks": "[[notify.webhook]]", "slack": "[[notify.webhook]]", "command": "exec", "for": "after",
		"delay": "after", "url": "[[notify.webhook]]", "heartbeat": "ping", "healthcheck": "ping", "timeout": "exec_timeout", "every": "ping_every"})
	return n
}

// secretURL reads a URL, or a reference to one, that may be missing.
func (s *section) secretURL(key string) SecretURL {
	return readText(s, key, "URL, or a reference to one", SecretURL{}, func(text string) (SecretURL, error) {
		scheme, _, _ := strings.Cut(text, ":")
		switch {
		case text == "" && s.env: // as if the key weren't there
			return SecretURL{}, nil
		case text == "":
			return SecretURL{}, refuse("", "must not be empty")
		case strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"):
			parsed, err := parseWebURL(text)
			if err != nil {
				return SecretURL{}, err
			}
			return SecretURL{inlineRef(parsed.Scheme+"://"+parsed.Host, text)}, nil
		}
		ref, err := s.parseRef(text)
		if err != nil {
			return SecretURL{}, refuse("write https://..., or a reference to the URL: file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME",
				"%s", problemOf(err).Message)
		}
		return SecretURL{ref}, nil
	}, func(u SecretURL) string { return u.String() })
}

// readCommand reads a program with its arguments. A program that is named by a path is
// found from the folder of the file, and another one in PATH.
func (s *section) readCommand(key string) []string {
	command, given := s.stringList(key)
	if given && (len(command) == 0 || command[0] == "") {
		s.badValue(key, fmt.Sprintf(`write %s = ["/usr/local/bin/page", "--urgent"], or leave it out`, key), "names no program")
		return nil
	}
	if given && strings.Contains(command[0], "/") {
		command[0] = s.Loader.resolvePath(command[0], s.configFolder())
	}
	s.recordSetting(key, fmt.Sprintf("%q", command), given)
	return command
}

// warnings returns what is insecure about the notifications.
func (n Notify) warnings() (list []string) {
	add := func(key string, u SecretURL) {
		if w := u.Warning(); w != "" {
			list = append(list, key+": "+w)
		}
		parsed, err := url.Parse(u.String())
		if err != nil || parsed.Scheme != "http" {
			return
		}
		if ip := net.ParseIP(parsed.Hostname()); parsed.Hostname() != "localhost" && !ip.IsLoopback() {
			list = append(list, key+": "+u.String()+" is plain HTTP: others on the network can read the notifications")
		}
	}
	for i, w := range n.Webhooks {
		add(indexKey("notify.webhook", i)+".url", w.URL)
	}
	add("notify.ping", n.Ping)
	return list
}
