package doctor_test

import (
	"os"
	"strings"
	"testing"

	"chefsync/cli/internal/doctor"
)

func TestThePrimaryIsToldToPushToAnAddressThatItReaches(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		listen string
		tls    bool
		want   string
	}{
		{"127.0.0.1:9996", false, "http://127.0.0.1:9996"},
		{"sync.example.com:9996", true, "https://sync.example.com:9996"},
		{":9996", true, "https://" + host + ":9996"},
		{"0.0.0.0:9996", false, "http://" + host + ":9996"},
		{"[::]:9996", false, "http://" + host + ":9996"},
		{"[2001:db8::1]:9996", false, "http://[2001:db8::1]:9996"},
	} {
		if got := doctor.RootURL(c.listen, c.tls); got != c.want {
			t.Errorf("RootURL(%q, %v) = %q, want %q", c.listen, c.tls, got, c.want)
		}
	}
}

func TestPushesNeedAnAddressAndAToken(t *testing.T) {
	for _, c := range []struct {
		collector doctor.Collector
		state     doctor.State
		says      string
	}{
		{doctor.Collector{Token: "file:t", Switch: "listen"}, doctor.OK, "set listen"},
		{doctor.Collector{Where: ":9996", URL: "http://here:9996"}, doctor.Warn, "there is no token"},
		{doctor.Collector{Where: "the stack", URL: "https://there/", Token: "ssm:t"}, doctor.OK, "with the content of ssm:t:\n          chef-server-ctl set-secret data_collector token 'CONTENT'\n"},
		{doctor.Collector{Where: "the stack", URL: "https://there/", Token: "ssm:t"}, doctor.OK, "data_collector['root_url'] = 'https://there'\n"},
	} {
		l := &doctor.List{Group: "journal"}
		doctor.CheckPush(l, c.collector)
		if got := find(l.Checks, "push"); got.State != c.state || !strings.Contains(got.Detail, c.says) {
			t.Errorf("%+v: %+v", c.collector, got)
		}
	}
}
