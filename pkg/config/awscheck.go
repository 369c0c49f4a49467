package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// CheckAWS returns what prevents functions on AWS from using a valid configuration, as
// [Problems], or nil.
func (c *Config) CheckAWS() error {
	r := &reader{file: c.File, positions: c.positions}
	for _, n := range c.secrets() {
		r.checkSecret(n)
	}
	r.checkGrants(c)
	if a := c.AWS; a.KMSKey != "" && a.Region != "" && !strings.Contains(a.KMSKey, ":kms:"+a.Region+":") {
		r.addProblem("aws.kms_key", "name a key of "+a.Region+", or a replica of it there", "isn't in the region of the stack")
	}
	if c.Feed == FeedChangeLog && !c.AWS.ChangeLog {
		r.addProblem("aws.journal", `leave it out, or write feed = "auto" under [primary]`, `is false, but the primary's feed is "journal"`)
	}
	c.checkIntervals(r)
	c.checkAlarmAge(r)
	if len(r.problems) > 0 {
		return r.problems.sortByPosition()
	}
	return nil
}

// leastOnAWS is the shortest interval on AWS: EventBridge fires no rule more often.
const leastOnAWS = time.Minute

// checkIntervals refuses intervals that can't be kept on AWS.
func (c *Config) checkIntervals(r *reader) {
	refuse := func(key string, every time.Duration) {
		if every < leastOnAWS {
			r.addProblem(key, `write "1m" or more, in whole minutes`, "%s is too short: on AWS, the minimum interval is one minute", FormatDuration(every))
		}
	}
	for _, o := range c.Organizations {
		refuse(o.key+".interval", o.Interval)
	}
	if c.AWS.ChangeLog {
		refuse("journal.scan_every", c.ChangeLog.ScanEvery)
	}
}

// checkAlarmAge refuses an age at which alarms would fire although nothing is wrong.
func (c *Config) checkAlarmAge(r *reader) {
	more := func(than time.Duration) string {
		return "write alarm_age under [aws] with more than " + FormatDuration(than+5*time.Minute)
	}
	age := c.AWS.AlarmAge
	longest := slices.MaxFunc(c.Organizations, func(a, b Organization) int { return cmp.Compare(c.successInterval(a), c.successInterval(b)) })
	if every := c.successInterval(longest); age <= every {
		key := longest.key + ".interval"
		if every > longest.Interval {
			key = longest.key + ".compare_every"
		}
		r.addProblem(firstPresent(c.positions, "aws.alarm_age", key), more(every),
			"the alarm on the age of the last success (%s) would fire although %s is only checked every %s",
			FormatDuration(age), longest.SourceOrg, FormatDuration(every))
	}
	if every := c.ChangeLog.ScanEvery; c.AWS.ChangeLog && age <= every {
		r.addProblem(firstPresent(c.positions, "aws.alarm_age", "journal.scan_every"), more(every),
			"the alarm on the age of the last scan (%s) would fire although scans are %s apart", FormatDuration(age), FormatDuration(every))
	}
	if longest := c.AWS.Timeout; age <= longest {
		r.addProblem(firstPresent(r.positions, "aws.alarm_age", "aws.timeout"), more(longest),
			"the alarm on the age of the last good pass (%s) would fire during a pass, which may take %s", FormatDuration(age),
			FormatDuration(longest))
	}
}

// successInterval returns how often an organization without problems has a success:
// only with each compare if there may be neither updated_since nor a change log.
func (c *Config) successInterval(o Organization) time.Duration {
	if c.Feed == "auto" && !c.AWS.ChangeLog {
		return max(o.Interval, o.CompareEvery)
	}
	return o.Interval
}

// firstPresent returns the first of some keys that is in the file, or the last of them.
func firstPresent(places map[string]position, keys ...string) string {
	for _, k := range keys {
		if places[k].line > 0 {
			return k
		}
	}
	return keys[len(keys)-1]
}

// checkSecret refuses a reference that the functions can't resolve.
func (r *reader) checkSecret(n namedSecret) {
	written := n.key
	if server, isKey := strings.CutSuffix(n.key, ".key"); isKey {
		written = firstPresent(r.positions, n.key, server+".profile")
	}
	isInAWS := n.ref.Scheme == "secretsmanager" || n.ref.Scheme == "ssm"
	switch {
	case n.ref.IsZero() || r.hasProblem(written):
	case !isInAWS && written != n.key:
		r.addProblem(written, fmt.Sprintf(`write user, and key = "secretsmanager:%s/%s"`, defaultStack, n.name),
			"the functions on AWS can't use profiles of ~/.chef/credentials")
	case !isInAWS:
		r.addProblem(n.key, fmt.Sprintf("store it in Secrets Manager and write %q, or in Parameter Store and write %q",
			"secretsmanager:"+defaultStack+"/"+n.name, "ssm:/"+defaultStack+"/"+n.name),
			"the functions on AWS can't read %s: references", n.ref.Scheme)
	case !isSecretName(n.ref):
		// Such a name would also be a pattern in the policy that grants it.
		r.addProblem(n.key, "use letters, digits and /_+=.@-, or an ARN", "%q can't be the name of a secret", n.ref)
	}
}

func isSecretName(ref KeyRef) bool {
	pattern := `^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,512}$`
	if ref.Scheme == "ssm" {
		pattern = `^(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter/)?[A-Za-z0-9/_.-]{1,1000}$`
	}
	return matches(pattern, ref.Name)
}
