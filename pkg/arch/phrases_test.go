package arch

// bannedPhrases returns wording that native speakers stumbled over in this project, and
// synonyms of its terms, which are those of docs/glossary.md.
func bannedPhrases() []bannedPhrase {
	return []bannedPhrase{
		// Terms: one word for one thing.
		{"full compares?", "full comparison"},
		{"set aside", "unsynced"},
		{"safety brakes?", "brake"},
		{"persons?|person's", "operator, user or somebody"},
		{"strangers?", "another client, or what it is"},
		{"wish|wishes|wished", "desired state, or request"},
		{"signs? of life", "heartbeat"},
		{"least level", "minimum level"},

		// Metaphors.
		{"at work", "running or in progress"},
		{"speaks?|speaking", "supports, uses or says"},
		{"judges?|judged|judging", "decide, classify or check"},
		{"doubts?|doubted", "unknown or uncertain"},
		{"mends?|mended|mending|heals|healed", "repair, repaired or recovered"},
		{"meddles?|meddled|meddling", "change or edit"},
		{"alarms? rings?|rings? when|it rings", "the alarm is raised"},
		{"stands? still|stood still", "hangs, stops or makes no progress"},
		{"rules of the house", "rules of the project"},

		// Other wording that isn't idiomatic.
		{"for ever", "continuously"},
		{"anew", "again or from the beginning"},
		{"now and then", "periodically, or how often"},
		{"so many|so much", "n, or the number"},
		{"but for", "except"},
		{"puts? right|putting right", "repair"},
		{"who is told|isn't told|is told apart|more is told", "who is notified, distinguished, or for details see"},
		{"whoever signs", "members of the organization"},
		{"for people", "human-readable, or where it is shown"},
		{"(goes|go|went|going) on where", "resumes where it stopped"},
		{"(ends?|ended|stops?|stopped) in order|ends? (it|them) in order", "cleanly"},
		{"(tried again|retried|ends?|ended) by (itself|themselves)", "automatically"},
		{"may come twice", "may be delivered twice"},
		{"what they asked for|later ones have done", "superseded by later events"},
		{"how the pairs do|how it goes", "the status"},
		{"no pass since", "last pass AGO"},
		{"all works|something doesn't work|look at the lines", "N checks passed or failed"},
		{"isn't given", "is missing, or no X was given"},
		{"(is|was|be) there already", "already exists"},
		{"has too much", "exists only on the replica"},
		{"needs a confirmation", "confirmation needed"},
		{"what these don't tell", "what is read instead"},
	}
}

// wordExceptions returns the places where a banned phrase is right.
func wordExceptions() []wordException {
	return []wordException{
		{"cli/internal/logline/logline.go", "set aside", "lines that an older version logged are still shown"},
		{"pkg/feed/scan/fuzz_test.go", "doubts?|doubted", "a record of an earlier version"},
		{"pkg/store/dynamo/previous/record.go", "full compares?", "the dictionary that records of the previous version were compressed with"},
	}
}
