package chef

import (
	"context"
	"io"
	"testing"
)

const (
	sumA = "900150983cd24fb0d6963f7d28e17f72"
	sumB = "d41d8cd98f00b204e9800998ecf8427e"
)

func TestSandboxNamesWhatTheServerLacks(t *testing.T) {
	s := answerAlways(erchefAnswer(201, `{"sandbox_id":"f1","uri":"x","checksums":{"`+sumB+`":{"needs_upload":false},"`+sumA+
		`":{"needs_upload":true,"url":"https://u"}}}`))
	box, err := newTestClient(t, s).Org("acme").CreateSandbox(context.Background(), []string{sumB, "900150983CD24FB0D6963F7D28E17F72", sumA})
	if err != nil {
		t.Fatal(err)
	}
	if box.ID != "f1" || len(box.Uploads) != 1 || box.Uploads[0] != (Upload{Checksum: sumA, URL: "https://u"}) {
		t.Errorf("sandbox %+v", box)
	}
	if want := `{"checksums":{"` + sumA + `":null,"` + sumB + `":null}}`; s.sent[1].body != want {
		t.Errorf("sent %s, want %s", s.sent[1].body, want)
	}
}

func TestIncompleteSandboxAnswersAreRefused(t *testing.T) {
	for _, body := range []string{
		`{}`, `[]`, `{"sandbox_id":"../x","checksums":{}}`, `{"sandbox_id":"f1","checksums":{}}`,
		`{"sandbox_id":"f1","checksums":{"` + sumA + `":{}}}`,
		`{"sandbox_id":"f1","checksums":{"` + sumA + `":{"needs_upload":true}}}`,
	} {
		_, err := newTestClient(t, answerAlways(erchefAnswer(201, body))).Org("acme").CreateSandbox(context.Background(), []string{sumA})
		wantKind(t, err, KindForeign)
	}
	for _, sums := range [][]string{nil, {"x"}, {sumA + "0"}} {
		_, err := newTestClient(t, answerInOrder()).Org("acme").CreateSandbox(context.Background(), sums)
		wantKind(t, err, KindRequest)
	}
}

func TestCommitIsRetriedWhileTheStoreIsSlow(t *testing.T) {
	versions, done := erchefAnswer(200, `{}`), erchefAnswer(200, `{"is_completed":true}`)
	incomplete := erchefAnswer(503, `{"error":["Committed incomplete sandbox: x"]}`)
	lost := cannedAnswer{err: io.EOF}
	gone := erchefAnswer(404, `{"error":["No such sandbox"]}`)
	for name, c := range map[string]struct {
		answers []cannedAnswer
		want    Kind
	}{
		"at once":            {[]cannedAnswer{versions, done}, ""},
		"503":                {[]cannedAnswer{versions, incomplete, incomplete, done}, ""},
		"400 of old servers": {[]cannedAnswer{versions, erchefAnswer(400, `{"error":["not yet"]}`), done}, ""},
		"never":              {[]cannedAnswer{versions, incomplete}, KindUnavailable},
		"lost, then gone":    {[]cannedAnswer{versions, lost, gone}, ""},
		"gone":               {[]cannedAnswer{versions, gone}, KindAbsent},
		"400 then gone":      {[]cannedAnswer{versions, erchefAnswer(400, `{"error":["not yet"]}`), gone}, KindAbsent},
		"a page":             {[]cannedAnswer{versions, pageAnswer(404)}, KindForeign},
	} {
		t.Run(name, func(t *testing.T) {
			err := newTestClient(t, answerInOrder(c.answers...)).Org("acme").CommitSandbox(context.Background(), "f1")
			if c.want == "" && err != nil || KindOf(err) != c.want {
				t.Errorf("error %v, want kind %q", err, c.want)
			}
		})
	}
	wantKind(t, newTestClient(t, answerInOrder()).Org("acme").CommitSandbox(context.Background(), "../x"), KindRequest)
}
