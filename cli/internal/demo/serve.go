package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
)

// editAddress is the address of the unsigned API, if it is free.
const editAddress = "127.0.0.1:9998"

// serve runs the daemon until ctx ends, and both servers with an API for curl.
func (d *demo) serve(ctx context.Context) error {
	listener, err := listen(editAddress)
	if err != nil {
		return err
	}
	defer listener.Close()
	handler := http.NewServeMux()
	for _, s := range []*cheftest.Server{d.primary, d.replica} {
		api, err := newUnsignedAPI(s)
		if err != nil {
			return err
		}
		prefix := "/" + d.serverName(s)
		handler.Handle(prefix+"/", http.StripPrefix(prefix, api))
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	defer server.Close()
	go func() { _ = server.Serve(listener) }() // until it is closed
	d.printInstructions("http://" + listener.Addr().String())
	if d.outputErr != nil {
		return d.outputErr
	}
	if code := exit.Code(d.Execute(ctx, []string{"run"}, d.streams())); code != exit.OK {
		return exit.Silent(code)
	}
	return nil
}

func (d *demo) printInstructions(api string) {
	d.printLine("")
	d.printLine("%s", d.env.Output().Paint(ui.Bold, "== The daemon runs until Ctrl-C"))
	d.printLine("status page  http://%s", d.status)
	d.printLine("")
	d.printLine("In another terminal:")
	if _, err := exec.LookPath("chef-sync-ctl"); err != nil {
		if program, err := os.Executable(); err == nil {
			d.printLine("  alias chef-sync-ctl=%s", program)
		}
	}
	for _, line := range []string{
		"export " + cmdline.EnvPrefix + "CONFIG=" + d.configPath(),
		"curl " + api + "/primary/roles/web",
		"curl " + api + `/primary/roles/web -X PUT -d '{"description": "changed"}'`,
		"chef-sync-ctl sync-log " + organization + " -n 5",
		"curl " + api + "/eu/roles/web -X DELETE",
		"chef-sync-ctl verify " + organization,
		"chef-sync-ctl sync-status --watch",
		"knife role list -c " + d.knifeConfig(d.primary),
	} {
		d.printLine("  %s", line)
	}
	d.printLine("")
}

// unsignedAPI passes requests on to an organization, signed as the superuser: curl can't
// sign. It is for the demo only.
type unsignedAPI struct{ org *chef.Org }

func newUnsignedAPI(s *cheftest.Server) (*unsignedAPI, error) {
	name, key := s.Superuser()
	c, err := chef.New(chef.Config{URL: s.URL, User: name, Key: key})
	if err != nil {
		return nil, err
	}
	return &unsignedAPI{c.Org(organization)}, nil
}

// maxBody is the most that a request may hold.
const maxBody = 1 << 20

// ServeHTTP implements [http.Handler].
func (a *unsignedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := a.org.Do(r.Context(), r.Method, r.URL.EscapedPath(), body)
	if refused := (*chef.Error)(nil); errors.As(err, &refused) && refused.Status != 0 {
		http.Error(w, refused.Reason(), refused.Status)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.Status)
	fmt.Fprintln(w, strings.TrimSpace(string(answer.Body)))
}
