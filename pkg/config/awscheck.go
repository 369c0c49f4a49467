package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// CheckAWS says what keeps a good configuration from being used by functions on
// AWS, as [Problems], or nil.
func (c *Config) CheckAWS() error {
	r := &reader{file: c.File, places: c.places}
	r.checkSecrets("primary", c.Primary)
	for i, v := range c.Replicas {
		r.checkSecrets(index("replica", i), v)
	}
	r.checkSecret("journal.token", "journal.token", "collector-token", c.Journal.Token)
	for _, name := range slices.Sorted(maps.Keys(c.Journal.Keys)) {
		key := join("journal.keys", name)
		r.checkSecret(key, key, "reader-"+name, c.Journal.Keys[name])
	}
	r.checkGrants(c)
	if a := c.AWS; a.KMSKey != "" && a.Region != "" && !strings.Contains(a.KMSKey, ":kms:"+a.Region+":") {
		r.problem("aws.kms_key", "name a key of "+a.Region+", or a replica of it there", "isn't in the region of the stack")
	}
	if c.Feed == "journal" && !c.AWS.Journal {
		r.problem("aws.journal", `leave it out, or write feed = "auto" under [primary]`, `is false, but the primary's feed is "journal"`)
	}
	c.checkAlarmAge(r)
	if len(r.problems) > 0 {
		return r.problems.sorted()
	}
	return nil
}

// checkAlarmAge refuses an age at which alarms would ring although all is well.
func (c *Config) checkAlarmAge(r *reader) {
	more := func(than time.Duration) string {
		return "write alarm_age under [aws] with more than " + FormatDuration(than+5*time.Minute)
	}
	age := c.AWS.AlarmAge
	longest := slices.MaxFunc(c.Organizations, func(a, b Organization) int { return cmp.Compare(c.successEvery(a), c.successEvery(b)) })
	if every := c.successEvery(longest); age <= every {
		key := longest.key + ".interval"
		if every > longest.Interval {
			key = longest.key + ".compare_every"
		}
		r.problem(first(c.places, "aws.alarm_age", key), more(every),
			"the alarm on the age of the last success (%s) would ring although %s is only looked at every %s",
			FormatDuration(age), longest.Source, FormatDuration(every))
	}
	if every := c.Journal.ScanEvery; c.AWS.Journal && age <= every {
		r.problem(first(c.places, "aws.alarm_age", "journal.scan_every"), more(every),
			"the alarm on the age of the last scan (%s) would ring although scans are %s apart", FormatDuration(age), FormatDuration(every))
	}
	if longest := c.AWS.Timeout; age <= longest {
		r.problem(first(r.places, "aws.alarm_age", "aws.timeout"), more(longest),
			"the alarm on the age of the last good pass (%s) would ring during a pass, which may take %s", FormatDuration(age), FormatDuration(longest))
	}
}

// successEvery is how often an organization that is well has a success: with each
// compare only, where there may be neither updated_since nor a journal.
func (c *Config) successEvery(o Organization) time.Duration {
	if c.Feed == "auto" && !c.AWS.Journal {
		return max(o.Interval, o.CompareEvery)
	}
	return o.Interval
}

// first is the first of some keys that stands in the file, or the last of them.
func first(places map[string]place, keys ...string) string {
	for _, k := range keys {
		if places[k].line > 0 {
			return k
		}
	}
	return keys[len(keys)-1]
}

// checkSecrets refuses references that the functions can't follow.
func (r *reader) checkSecrets(at string, v Server) {
	r.checkSecret(at+".key", first(r.places, at+".key", at+".profile"), v.Name, v.Key)
	r.checkSecret(at+".ca", at+".ca", v.Name+"-ca", v.CA)
}

// checkSecret looks at the reference of a key, which was written at a place. Name
// is what to call the secret.
func (r *reader) checkSecret(key, written, name string, ref KeyRef) {
	switch {
	case ref.IsZero():
	case ref.Scheme != "secretsmanager" && ref.Scheme != "ssm" && written != key:
		r.problem(written, fmt.Sprintf(`write user, and key = "secretsmanager:%s/%s"`, defaultStack, name),
			"the functions on AWS have no profiles of Chef's credentials file")
	case ref.Scheme != "secretsmanager" && ref.Scheme != "ssm":
		r.problem(key, fmt.Sprintf("store it in Secrets Manager and write %q, or in Parameter Store and write %q",
			"secretsmanager:"+defaultStack+"/"+name, "ssm:/"+defaultStack+"/"+name),
			"the functions on AWS can't read %s: references", ref.Scheme)
	case !isSecretName(ref):
		// Such a name would also be a pattern in the policy that grants it.
		r.problem(key, "use letters, digits and /_+=.@-, or an ARN", "%q can't be the name of a secret", ref)
	}
}

func isSecretName(ref KeyRef) bool {
	pattern := `^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,512}$`
	if ref.Scheme == "ssm" {
		pattern = `^(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter/)?[A-Za-z0-9/_.-]{1,1000}$`
	}
	ok, err := regexp.MatchString(pattern, ref.Name)
	return err == nil && ok
}
