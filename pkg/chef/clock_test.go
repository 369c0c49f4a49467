package chef_test

import (
	"net/http"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
)

// The server's own clock counts, whatever the Date header says: on a Chef Infra
// Server that is nginx's.
func TestClockSkewIsMeasuredByAcceptedTimeStamps(t *testing.T) {
	for _, c := range []struct {
		off, want time.Duration
		within    time.Duration
	}{
		{0, 0, 0}, {30 * time.Second, 0, 0}, {-30 * time.Second, 0, 0},
		{5 * time.Minute, 5 * time.Minute, 30 * time.Second}, {-5 * time.Minute, -5 * time.Minute, 30 * time.Second},
		{14 * time.Minute, 14 * time.Minute, 30 * time.Second}, {20 * time.Minute, 20 * time.Minute, 30 * time.Second},
	} {
		s := cheftest.Start(t, cheftest.Options{Now: func() time.Time { return time.Now().Add(c.off) }})
		key := s.AddUser("sync")
		s.AddOrg("acme").Associate("sync")
		cl := mustClient(t, chef.Config{URL: s.URL, User: "sync", Key: key, Transport: wrongDateTransport{},
			Retry: chef.RetryPolicy{Attempts: 1}})
		got, known, err := cl.Org("acme").ClockSkew(t.Context())
		if err != nil || !known || (got-c.want).Abs() > c.within {
			t.Errorf("a server %s ahead: %s, known %t, %v", c.off, got, known, err)
		}
	}
}

func TestClockSkewBeyondTheWindowOrWithOtherRules(t *testing.T) {
	s := cheftest.Start(t, cheftest.Options{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	key := s.AddUser("sync")
	s.AddOrg("acme")
	cfg := chef.Config{URL: s.URL, User: "sync", Key: key, Retry: chef.RetryPolicy{Attempts: 1}}
	_, known, err := mustClient(t, cfg).Org("acme").ClockSkew(t.Context())
	if wantKind(t, err, chef.KindClockSkew); known {
		t.Error("hours off, and known")
	}

	s = cheftest.Start(t, cheftest.Options{AuthSkew: 5 * time.Minute})
	s.AddOrg("acme")
	cfg.URL, cfg.Key = s.URL, s.AddUser("sync") // not a member: the clock comes before that
	if d, known, err := mustClient(t, cfg).Org("acme").ClockSkew(t.Context()); err != nil || known || d != 0 {
		t.Errorf("a narrower window: %s, known %t, %v", d, known, err)
	}
	s.Close()
	_, _, err = mustClient(t, cfg).Org("acme").ClockSkew(t.Context())
	wantKind(t, err, chef.KindUnreachable)
}

// wrongDateTransport is a proxy whose own clock is right.
type wrongDateTransport struct{}

func (wrongDateTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return resp, err
}
