package contract

// Goiardi lists where goiardi 0.11.10 differs from a Chef Infra Server, when
// asked at API version 1.
func Goiardi() map[string]string {
	const (
		noOrgs     = "it has no organizations"
		unknown    = "unknown routes are 200 with an empty body and the version header"
		noFront    = "there is no front end"
		lenient    = "the API version isn't checked"
		text       = "the text is another"
		noPolicies = "it has no policies; " + unknown
		noLocation = "it sends no Location"
		numbers    = "numbers keep their text"
		unsigned   = "file URLs aren't signed"
		atOnce     = "cookbooks are stored in one step"
	)
	return map[string]string{
		"signing/a wrong signature says so":                                   text,
		"signing/a wrong clock is to be synchronized":                         text,
		"signing/an unknown protocol version is called unsupported":           text,
		"front end/no X-Chef-Version is a page and not the API":               noFront,
		"routes/an unknown route is 404":                                      unknown,
		"routes/an unknown route has no version header":                       unknown,
		"versions/server_api_version returns the range":                       unknown,
		"versions/one out of range is 406 and names the range":                lenient,
		"versions/none at all is version 0":                                   "a signature of 1.3 without the version header never verifies",
		"organizations/an absent one is 404 by the API, before the signature": noOrgs,
		"bodies/another Content-Type is 415":                                  "the type isn't checked",
		"bodies/a 413 of the API is JSON":                                     "it is plain text",
		"roles/create answers with a Location":                                noLocation,
		"items/PUT may leave out the id":                                      "the item is stored without its id",
		"JSON/an empty list in a list stays one":                              "it becomes null",
		"JSON/an empty list in a role's attributes stays one":                 "one in a list becomes null",
		"JSON/key order is kept":                                              "keys are sorted",
		"JSON/< > & are not escaped":                                          "they are written as \\u003c and so on",
		"JSON/an exponent is written out":                                     numbers,
		"JSON/zeros after the point go, except for one":                       numbers,
		"JSON/zeros after the point go in a role's attributes too":            numbers,
		"JSON/negative zero loses its sign":                                   numbers,
		"JSON/small floats keep their exponent":                               numbers,
		"cookbooks/some metadata is there even if never sent":                 "attributes stay away",
		"cookbooks/null for a string of metadata is 400":                      "null is stored",
		"cookbooks/frozen? may be left out":                                   "it is 400",
		"cookbooks/files are all_files at 2 and segments below":               "there are segments only, and empty ones are left out",
		"cookbooks/files of other folders are kept":                           "there are segments only",
		"content/the failed create is listed and readable afterwards":         atOnce,
		"content/an update names the checksum that is missing":                text,
		"content/a changed download URL is refused":                           unsigned,
		"sandboxes/a checksum that is none is 400":                            "any text will do",
		"sandboxes/commit without is_completed is 500":                        "it is 400",
		"sandboxes/a second commit is 404":                                    "it is 200",
		"sandboxes/content that wasn't committed is wanted again":             "an upload counts at once",
		"sandboxes/an upload of other bytes is 4xx":                           "it is 500",
		"sandboxes/a changed upload URL is refused":                           unsigned,
		"policies/they are listed":                                            noPolicies,
		"policies/an absent one is 404 with the version header":               noPolicies,
		"policies/groups are listed":                                          noPolicies,
		"policies/artifacts are listed":                                       noPolicies,
		"people/groups are listed":                                            "it has no groups; " + unknown,
		"people/an absent principal is 404 and says what is missing":          "the answer is an ordinary error",
	}
}
