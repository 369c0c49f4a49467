package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef/cheftest"
)

// demoToken is the token of the primary's data collector, and tokenFile where it
// is kept.
const (
	demoToken = "only for this demo"
	tokenFile = "collector-token"
)

// demoMessage is what a data collector says of a changed environment, but for what
// nobody reads.
const demoMessage = `{"message_type":"action","organization_name":"` + demoOrg + `","task":"update",
	"entity_type":"environment","entity_name":"testing","data":{}}`

// journal tells of a primary without updated_since: its journal is filled by scans
// and pushes, and is the feed from then on.
func (d *demoStory) journal(ctx context.Context) error {
	d.primary.Fault(cheftest.Fault{Path: "/updated_since", Status: http.StatusNotFound, HTML: true})
	d.print("   (the primary serves no updated_since any more)")
	if err := d.scan(ctx); err != nil {
		return err
	}
	if _, err := d.pass(ctx, false); err != nil {
		return err
	}
	o := d.primary.Org(demoOrg)
	o.PutRole("queue", `{"description":"changed, and found by a scan"}`)
	d.print("   a role was changed")
	if err := d.scan(ctx); err != nil {
		return err
	}
	if err := d.passUpdating(ctx); err != nil {
		return err
	}
	o.PutEnvironment("testing", `{"description":"changed, and pushed"}`)
	d.print("   an environment was changed, and pushed as the primary's data collector does")
	if err := d.push(ctx, demoMessage); err != nil {
		return err
	}
	return d.passUpdating(ctx)
}

// scan scans the primary, as run does every scan_every.
func (d *demoStory) scan(ctx context.Context) error {
	r, err := d.app.Scan(ctx, demoOrg)
	switch {
	case err != nil:
		return err
	case len(r.Failed) > 0:
		return r.Failed[0]
	case r.Begun:
		d.print("   scan: %d objects seen, the journal begins", r.Listed)
	default:
		d.print("   scan: %d objects seen, %s noted in the journal", r.Listed, ui.Plural(r.Changes, "change"))
	}
	return nil
}

// passUpdating runs a pass that must update one object, by the feed.
func (d *demoStory) passUpdating(ctx context.Context) error {
	r, err := d.pass(ctx, false)
	if err == nil && (r.Mode != "changes" || r.Counts.Updated != 1) {
		err = fmt.Errorf("%d objects were updated by a pass of mode %q, expected 1 by changes", r.Counts.Updated, r.Mode)
	}
	return err
}

// push posts a message to the receiver of run.
func (d *demoStory) push(ctx context.Context, message string) error {
	handler, err := d.app.ChangesHandler(ctx, nil)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	defer server.Close()
	go func() { _ = server.Serve(listener) }() // until it is closed
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+listener.Addr().String()+"/", strings.NewReader(message))
	if err != nil {
		return err
	}
	request.Header.Set("X-Data-Collector-Token", demoToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the push was answered with %s", answer.Status)
	}
	d.print("   push: taken and noted in the journal, without a scan")
	return nil
}

func (d *demoStory) writeToken() error {
	return os.WriteFile(filepath.Join(d.dir, tokenFile), []byte(demoToken), 0o600)
}
