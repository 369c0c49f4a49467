package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func templateStack() TemplateStack {
	return TemplateStack{Name: "chef-sync", Timeout: 10 * time.Minute, AlarmAge: time.Hour}
}

// templateConfig is a configuration that a stack from the released template can use.
func templateConfig() string {
	text := strings.Replace(minimalConfig, "env:KEY", "secretsmanager:chef-sync/primary", 1)
	return strings.ReplaceAll(text, "env:KEY", "ssm:/chef-sync/eu")
}

func TestTheReleasedTemplateTakesWhatItReads(t *testing.T) {
	withHeader := strings.Replace(templateConfig(), "[primary]", "[primary]\nheaders = { Tenant-Id = \"ssm:/chef-sync/primary-header-tenant\" }", 1)
	if err := mustParse(t, Loader{}, withHeader).CheckTemplate(templateStack()); err != nil {
		t.Errorf("a header of the primary: %v", err)
	}
	for name, more := range map[string]string{
		"nothing more": "",
		"the stack":    "[aws]\nstack = \"chef-sync\"\nregion = \"eu-central-1\"\njournal_concurrency = 3\n",
		"a change log": "[journal]\ntoken = \"ssm:/chef-sync/collector-token\"\n[journal.keys]\nold = \"secretsmanager:chef-sync/reader-old\"\n",
	} {
		if err := mustParse(t, Loader{}, templateConfig()+more).CheckTemplate(templateStack()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a file says and the stack doesn't do would be silently wrong.
func TestTheReleasedTemplateRefusesWhatItDoesNotRead(t *testing.T) {
	for text, want := range map[string]string{
		templateConfig() + "[aws]\nmemory = 512\n":                                                 "aws.memory: " + templateIgnores + "; remove it, and deploy with the parameter Memory",
		templateConfig() + "[aws]\nkms_key = \"arn:aws:kms:eu-central-1:123456789012:key/0a1b\"\n": "aws.kms_key: " + templateIgnores + "; remove it, or deploy with CDK",
		templateConfig() + "[aws]\nstack = \"other\"\n":                                            `aws.stack: isn't the name of the stack that it was deployed to; write "chef-sync", or remove it`,
		templateConfig() + "[aws.tags]\nteam = \"x\"\n":                                            "aws.tags: " + templateIgnores + "; remove it, and deploy with --tag NAME=VALUE",
		"[log]\nlevel = \"debug\"\n" + templateConfig():                                            "log.level: " + templateIgnores + "; remove it, and deploy with LogLevel=DEBUG",
		strings.Replace(templateConfig(), "chef-sync/primary", "chef-sync/main", 1): "primary.key: the functions of a stack that was deployed from the released template " +
			"may not read secretsmanager:chef-sync/main; name it chef-sync/primary",
		strings.Replace(templateConfig(), "/chef-sync/eu", "/prod/eu", 1): "replica[0].key: the functions of a stack that was deployed from the released template " +
			"may not read ssm:/prod/eu; name it chef-sync/NAME",
		templateConfig() + "[journal]\ntoken = \"secretsmanager:chef-sync/token\"\n":                                        "name it chef-sync/collector-token",
		templateConfig() + "[journal.keys]\nold = \"ssm:/chef-sync/old\"\n":                                                 "name it chef-sync/reader-NAME",
		strings.Replace(templateConfig(), "[primary]", "[primary]\nheaders = { Tenant-Id = \"ssm:/chef-sync/tenant\" }", 1): "name it chef-sync/primary-header-NAME",
		// What any stack on AWS refuses.
		strings.Replace(templateConfig(), "ssm:/chef-sync/eu", "file:/etc/eu.pem", 1): "the functions on AWS can't read file: references",
		templateConfig() + "interval = \"2h\"\n":                                      "the alarm on the age of the last success (1h) would fire",
	} {
		err := mustParse(t, Loader{}, text).CheckTemplate(templateStack())
		if err == nil || strings.Count(err.Error(), want) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\nrefused with: %v\nwant: %s", text, err, want)
		}
	}
}

func TestAllParametersReplaceKeysOfAWS(t *testing.T) {
	known := map[string]bool{}
	for _, s := range mustParse(t, Loader{}, templateConfig()).Effective() {
		known[s.Key] = true
	}
	for key := range TemplateParameters() {
		if !known["aws."+key] {
			t.Errorf("there is no key aws.%s", key)
		}
	}
}

// Whoever follows the hints for a stack on AWS may deploy the released template, too.
func TestTheReleasedTemplateTakesTheNamesThatHintsSuggest(t *testing.T) {
	text := strings.ReplaceAll(minimalConfig, `key = "env:KEY"`, "key = \"env:KEY\"\nca = \"env:CA\"\nheaders = { Tenant-Id = \"env:TENANT\" }") +
		"[journal]\ntoken = \"env:TOKEN\"\n[journal.keys]\nold = \"env:OLD\"\n"
	var problems Problems
	if err := mustParse(t, Loader{}, text).CheckAWS(); !errors.As(err, &problems) || len(problems) != 8 {
		t.Fatalf("%v, want a problem for each of 8 secrets", err)
	}
	for _, p := range problems {
		_, name, _ := strings.Cut(p.Try, `"secretsmanager:`)
		name, _, _ = strings.Cut(name, `"`)
		r := &reader{}
		r.checkTemplateSecret(templateStack(), namedSecret{key: p.Key, ref: KeyRef{Scheme: "secretsmanager", Name: name}})
		if name == "" || len(r.problems) > 0 {
			t.Errorf("%s: the hint is %s, but %v", p.Key, p.Try, r.problems)
		}
	}
}
