package chef_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/goiarditest"
)

func TestGoiardi(t *testing.T) {
	srv := goiarditest.Start(t)
	org := srv.Client().Org("any")
	ctx := context.Background()

	t.Run("it is spoken to at its own version", func(t *testing.T) {
		a, err := org.Do(ctx, "GET", "/roles", nil)
		if err != nil || a.APIVersion != 1 {
			t.Fatalf("answer %+v, error %v, want version 1", a, err)
		}
	})
	t.Run("unknown paths aren't an answer", func(t *testing.T) {
		_, err := org.Do(ctx, "GET", "/updated_since?seq=0", nil)
		wantKind(t, err, chef.KindForeign)
	})
	t.Run("names with a colon are signed as sent", func(t *testing.T) {
		if _, err := org.Do(ctx, "POST", "/roles", []byte(`{"name":"a:b"}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := org.Do(ctx, "GET", "/roles/a:b", nil); err != nil {
			t.Error(err)
		}
		_, err := org.Do(ctx, "POST", "/roles", []byte(`{"name":"a:b"}`))
		wantKind(t, err, chef.KindExists)
		_, err = org.Do(ctx, "GET", "/roles/gone", nil)
		wantKind(t, err, chef.KindAbsent)
	})
	t.Run("content goes up and down", func(t *testing.T) { goiardiContent(t, org) })
	t.Run("a wrong clock and a wrong name are told apart", func(t *testing.T) {
		cfg := srv.Config()
		cfg.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		_, err := mustClient(t, cfg).Org("any").Do(ctx, "GET", "/roles", nil)
		wantKind(t, err, chef.KindClockSkew)
		cfg = srv.Config()
		cfg.User = "nobody"
		_, err = mustClient(t, cfg).Org("any").Do(ctx, "GET", "/roles", nil)
		wantKind(t, err, chef.KindKey)
	})
	t.Run("its clock shows by what it accepts", func(t *testing.T) {
		for off, want := range map[time.Duration]time.Duration{0: 0, 5 * time.Minute: -5 * time.Minute, -20 * time.Minute: 20 * time.Minute} {
			cfg := srv.Config()
			cfg.Now = func() time.Time { return time.Now().Add(off) }
			got, known, err := mustClient(t, cfg).Org("any").ClockSkew(ctx)
			if err != nil || !known || (got-want).Abs() > 30*time.Second {
				t.Errorf("a server %s ahead: %s, known %t, %v", want, got, known, err)
			}
		}
	})
	t.Run("the right to create shows without creating", func(t *testing.T) { goiardiRights(t, srv, org) })
	t.Run("a stopped server is unreachable, and comes back with its data", func(t *testing.T) {
		srv.Stop()
		_, err := org.Do(ctx, "GET", "/roles/a:b", nil)
		wantKind(t, err, chef.KindUnreachable)
		srv.Restart()
		if _, err := org.Do(ctx, "GET", "/roles/a:b", nil); err != nil {
			t.Error(err)
		}
	})
}

func goiardiContent(t *testing.T, org *chef.Org) {
	ctx := context.Background()
	contents := map[string]string{"900150983cd24fb0d6963f7d28e17f72": "abc", "d41d8cd98f00b204e9800998ecf8427e": ""}
	manifest := []byte(`{"name":"a-1.0.0","cookbook_name":"a","version":"1.0.0","json_class":"Chef::CookbookVersion",` +
		`"chef_type":"cookbook_version",` +
		`"frozen?":true,"metadata":{"name":"a","version":"1.0.0"},"recipes":[` +
		`{"name":"d.rb","path":"recipes/d.rb","checksum":"900150983cd24fb0d6963f7d28e17f72","specificity":"default"},` +
		`{"name":"e.rb","path":"recipes/e.rb","checksum":"d41d8cd98f00b204e9800998ecf8427e","specificity":"default"}]}`)
	_, err := org.Do(ctx, "PUT", "/cookbooks/a/1.0.0", manifest)
	wantKind(t, err, chef.KindMissingChecksum)

	var sums []string
	for sum := range contents {
		sums = append(sums, sum)
	}
	box, err := org.CreateSandbox(ctx, sums)
	if err != nil || len(box.Uploads) != 2 {
		t.Fatalf("sandbox %+v, error %v", box, err)
	}
	for _, u := range box.Uploads {
		text := contents[u.Checksum]
		open := func() (io.ReadCloser, int64, error) {
			return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
		}
		if err := org.Client().UploadFile(ctx, u.URL, u.Checksum, open); err != nil {
			t.Fatal(err)
		}
	}
	if err := org.CommitSandbox(ctx, box.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := org.Do(ctx, "PUT", "/cookbooks/a/1.0.0?force=true", manifest); err != nil {
		t.Fatal(err)
	}
	a, err := org.Do(ctx, "GET", "/cookbooks/a/1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := chef.ManifestFiles(a.Body)
	if err != nil || len(files) != 2 {
		t.Fatalf("files %+v, error %v", files, err)
	}
	for _, f := range files {
		r, size, err := org.Client().OpenFile(ctx, f.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || r.Close() != nil || string(got) != contents[f.Checksum] || size != int64(len(got)) {
			t.Errorf("%s: content %q, size %d, error %v", f.Path, got, size, err)
		}
	}
}

func mustClient(t *testing.T, cfg chef.Config) *chef.Client {
	t.Helper()
	c, err := chef.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantKind(t *testing.T, err error, want chef.Kind) {
	t.Helper()
	if got := chef.KindOf(err); got != want {
		t.Errorf("error %v, want kind %q", err, want)
	}
}

// goiardiRights shows that permissions come before conflicts and absence.
func goiardiRights(t *testing.T, srv *goiarditest.Server, admin *chef.Org) {
	a, err := admin.Do(t.Context(), "POST", "/clients", []byte(`{"name":"reader","admin":false,"create_key":true}`))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(a.Body, &made); err != nil {
		t.Fatal(err)
	}
	cfg := srv.Config()
	cfg.User = "reader"
	if cfg.Key, err = chef.ParseKey([]byte(made.PrivateKey)); err != nil {
		t.Fatal(err)
	}
	client := mustClient(t, cfg).Org("any")
	for _, c := range []struct {
		method, path, body string
		allowed            chef.Kind
	}{
		{"POST", "/roles", `{"name":"a:b"}`, chef.KindExists},
		{"POST", "/environments", `{"name":"_default"}`, chef.KindExists},
		{"PUT", "/sandboxes/00000000000000000000000000000000", `{"is_completed":true}`, chef.KindAbsent},
	} {
		_, err := admin.Do(t.Context(), c.method, c.path, []byte(c.body))
		wantKind(t, err, c.allowed)
		_, err = client.Do(t.Context(), c.method, c.path, []byte(c.body))
		wantKind(t, err, chef.KindPermission)
	}
}
