package demo

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

// collectorToken is the token of the primary's data collector, and tokenFile where it
// is kept.
const (
	collectorToken = "only for this demo"
	tokenFile      = "collector-token"
)

// changeMessage is the message of a data collector about a changed environment, as far as
// it is read.
const changeMessage = `{"message_type":"action","organization_name":"` + organization + `","task":"update",
	"entity_type":"environment","entity_name":"testing","data":{}}`

// replaceFeed shows a primary without updated_since: scans and pushes find its changes.
func (d *demo) replaceFeed(ctx context.Context) error {
	d.primary.Fault(cheftest.Fault{Path: "/updated_since", Status: http.StatusNotFound, HTML: true})
	d.printLine("   (the primary serves no updated_since any more)")
	if err := d.scanPrimary(ctx); err != nil {
		return err
	}
	if _, err := d.runPass(ctx, false); err != nil {
		return err
	}
	o := d.primary.Org(organization)
	o.PutRole("queue", `{"description":"changed, and found by a scan"}`)
	d.printLine("   a role was changed")
	if err := d.scanPrimary(ctx); err != nil {
		return err
	}
	if err := d.runUpdatingPass(ctx); err != nil {
		return err
	}
	o.PutEnvironment("testing", `{"description":"changed, and pushed"}`)
	d.printLine("   an environment was changed, and pushed as the primary's data collector does")
	if err := d.pushMessage(ctx, changeMessage); err != nil {
		return err
	}
	return d.runUpdatingPass(ctx)
}

// scanPrimary scans the primary, as run does every scan_every.
func (d *demo) scanPrimary(ctx context.Context) error {
	r, err := d.app.Scan(ctx, organization)
	switch {
	case err != nil:
		return err
	case len(r.Failed) > 0:
		return r.Failed[0]
	case r.Begun:
		d.printLine("   scan: %d objects seen, the journal begins", r.Listed)
	default:
		d.printLine("   scan: %d objects seen, %s noted in the journal", r.Listed, ui.Plural(r.Changes, "change"))
	}
	return nil
}

// runUpdatingPass runs a pass that must update one object, by the feed.
func (d *demo) runUpdatingPass(ctx context.Context) error {
	r, err := d.runPass(ctx, false)
	if err == nil && (r.Mode != "changes" || r.Counts.Updated != 1) {
		err = fmt.Errorf("%d objects were updated by a pass of mode %q, expected 1 by changes", r.Counts.Updated, r.Mode)
	}
	return err
}

// pushMessage posts a message to the receiver of pushes.
func (d *demo) pushMessage(ctx context.Context, message string) error {
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
	request.Header.Set("X-Data-Collector-Token", collectorToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the push was answered with %s", answer.Status)
	}
	d.printLine("   push: taken and noted in the journal, without a scan")
	return nil
}

func (d *demo) writeToken() error {
	return os.WriteFile(filepath.Join(d.dir, tokenFile), []byte(collectorToken), 0o600)
}
