package statusserver

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// apiVersion is the version of the JSON of /api/status. Members may be added to a version;
// one that is removed or changes its meaning makes a new version.
const apiVersion = 1

// statusDocument is the JSON of /api/status.
type statusDocument struct {
	Version     int                    `json:"version"`
	GeneratedAt time.Time              `json:"generated_at"`
	Scheduler   schedulerDocument      `json:"scheduler"`
	Servers     []pairstatus.ServerRow `json:"servers"`
	Pairs       []pairstatus.PairRow   `json:"pairs"`
	Unreadable  []replication.PairID   `json:"unreadable,omitempty"` // pairs whose records can't be read
	Error       string                 `json:"error,omitempty"`      // why not, or what else could not be read
}

// schedulerDocument is what is known of the processes that run passes.
type schedulerDocument struct {
	Kind                   string           `json:"kind"` // daemon, or manager on a stack
	Running                bool             `json:"running"`
	LastHeartbeat          time.Time        `json:"last_heartbeat,omitzero"`
	Problem                string           `json:"problem,omitempty"`
	ConfigurationChangedAt time.Time        `json:"configuration_changed_at,omitzero"` // of which a daemon read another version
	Daemons                []health.Process `json:"daemons,omitempty"`                 // that run
}

// serveAPI serves /api/status.
func (o Options) serveAPI(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	w.Header().Set("Content-Type", "application/json")
	st, err := o.Reader.Status(ctx)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]any{"version": apiVersion, "error": err.Error()}) // the reader may be gone
		return
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(newStatusDocument(st, o.Now())) // the reader may be gone
}

func newStatusDocument(st Status, now time.Time) statusDocument {
	p := st.Processes
	d := statusDocument{Version: apiVersion, GeneratedAt: st.At.UTC(), Servers: st.Servers, Pairs: st.Pairs, Unreadable: st.Unreadable, Error: st.Error,
		Scheduler: schedulerDocument{Kind: health.RoleDaemon, Running: schedulerRuns(p, now), LastHeartbeat: p.LastHeartbeat(), Problem: p.Problem(now),
			ConfigurationChangedAt: p.ConfigChanged, Daemons: p.Running}}
	if p.OnStack {
		d.Scheduler.Kind = health.RoleManager
	}
	if !d.Scheduler.Running && d.Scheduler.Problem == "" {
		d.Scheduler.Problem = "never seen"
	}
	return d
}
