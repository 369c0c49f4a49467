package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// TemplateStack is what is known of a stack that was deployed from the released template.
// The template fits all configurations: its parameters take the place of the table [aws].
type TemplateStack struct {
	Name              string
	Timeout, AlarmAge time.Duration
}

// TemplateSecrets are the secrets that functions of such a stack may read. Its roles
// can't name the secrets of one configuration, so the secrets have names that are known
// before. A name may end in *.
type TemplateSecrets struct {
	Sync, Scans, URL []KeyRef
}

// Secrets returns the secrets that the functions may read.
func (s TemplateStack) Secrets() TemplateSecrets {
	named := func(names ...string) (refs []KeyRef) {
		for _, n := range names {
			refs = append(refs, KeyRef{Scheme: "secretsmanager", Name: s.Name + "/" + n}, KeyRef{Scheme: "ssm", Name: "/" + s.Name + "/" + n})
		}
		return refs
	}
	return TemplateSecrets{
		Sync:  named("*"),
		Scans: named("primary", "primary-ca", "primary-header-*"),
		URL:   named("primary", "primary-ca", "primary-header-*", "collector-token", "reader-*"),
	}
}

// TemplateParameters returns the parameters of the released template by the keys of
// [aws] that they replace.
func TemplateParameters() map[string]string {
	return map[string]string{
		"memory": "Memory", "timeout": "Timeout", "reserved_concurrency": "ReservedConcurrency", "journal_url": "JournalUrl",
		"log_retention": "LogRetention", "alarm_email": "AlarmEmail", "alarm_age": "AlarmAge",
		"subnets": "Subnets", "security_groups": "SecurityGroups", "permissions_boundary": "PermissionsBoundary",
	}
}

// CheckTemplate returns what prevents a stack that was deployed from the released
// template from using a valid configuration, as [Problems], or nil.
func (c *Config) CheckTemplate(s TemplateStack) error {
	r := &reader{file: c.File, positions: c.positions}
	for _, key := range slices.Sorted(maps.Keys(c.positions)) {
		if name, ok := strings.CutPrefix(key, "aws."); ok {
			r.checkTemplateKey(c, s, key, name)
		}
	}
	if c.LogLevel == "debug" {
		r.addProblem("log.level", "remove it, and deploy with LogLevel=DEBUG", templateIgnores)
	}
	for _, n := range c.secrets() {
		r.checkTemplateSecret(s, n)
	}
	deployed := *c
	deployed.AWS.Stack, deployed.AWS.Timeout, deployed.AWS.AlarmAge = s.Name, s.Timeout, s.AlarmAge
	var others Problems
	if errors.As(deployed.CheckAWS(), &others) {
		r.problems = append(r.problems, others...)
	}
	if len(r.problems) > 0 {
		return r.problems.sortByPosition()
	}
	return nil
}

const templateIgnores = "the stack was deployed from the released template, which doesn't read it"

// checkTemplateKey refuses a key of [aws] that has no effect on such a stack.
func (r *reader) checkTemplateKey(c *Config, s TemplateStack, key, name string) {
	switch name {
	case "region", "journal_concurrency":
	case "stack":
		if c.AWS.Stack != s.Name {
			r.addProblem(key, fmt.Sprintf("write %q, or remove it", s.Name), "isn't the name of the stack that it was deployed to")
		}
	case "tags":
		r.addProblem(key, "remove it, and deploy with --tag NAME=VALUE", templateIgnores)
	default:
		if strings.Contains(name, ".") || strings.Contains(name, "[") {
			return // a part of another key
		}
		try := "remove it, or deploy with CDK"
		if parameter := TemplateParameters()[name]; parameter != "" {
			try = "remove it, and deploy with the parameter " + parameter
		}
		r.addProblem(key, try, templateIgnores)
	}
}

// templateSecretName returns the name after STACK/ that the secret of a key must have, so
// that a function can read it. It may end in *.
func templateSecretName(key string) string {
	switch {
	case key == "primary.key":
		return "primary"
	case key == "primary.ca":
		return "primary-ca"
	case strings.HasPrefix(key, "primary.headers"):
		return "primary-header-*"
	case key == "journal.token":
		return "collector-token"
	case strings.HasPrefix(key, "journal.keys"):
		return "reader-*"
	}
	return "*"
}

// checkTemplateSecret refuses a secret that the functions may not read. CheckAWS refuses
// what is no secret in AWS.
func (r *reader) checkTemplateSecret(s TemplateStack, n namedSecret) {
	if r.hasProblem(n.key) || n.ref.Scheme != "secretsmanager" && n.ref.Scheme != "ssm" {
		return
	}
	want := s.Name + "/" + templateSecretName(n.key)
	got := strings.TrimPrefix(n.ref.Name, "/")
	if prefix, begins := strings.CutSuffix(want, "*"); got == want || begins && strings.HasPrefix(got, prefix) {
		return
	}
	r.addProblem(n.key, "name it "+strings.Replace(want, "*", "NAME", 1),
		"the functions of a stack that was deployed from the released template may not read %s", n.ref)
}
