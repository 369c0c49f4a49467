package arch

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// metric is a row of docs/monitoring/metrics.md.
type metric struct {
	kind   string
	labels []string
}

func monitoringFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "docs", "monitoring", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// documentedMetrics returns the metrics by name. That they are those which are served is a
// test of the package that serves them.
func documentedMetrics(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	row := regexp.MustCompile("(?m)^\\| `(chef_sync_[a-z_]+)` \\| (gauge|counter|histogram) \\|([^|]*)\\|")
	for _, m := range row.FindAllStringSubmatch(string(monitoringFile(t, "metrics.md")), -1) {
		labels := regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(m[3], -1)
		doc := metric{kind: m[2]}
		for _, l := range labels {
			doc.labels = append(doc.labels, l[1])
		}
		all[m[1]] = doc
	}
	if len(all) == 0 {
		t.Fatal("docs/monitoring/metrics.md documents no metric")
	}
	return all
}

// rule is an alert rule of Prometheus.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alertRules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(monitoringFile(t, "alerts.yml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// panel is a panel of a dashboard of Grafana.
type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr string }
}

type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type string
			Query      any // of a data source, a string
		}
	}
	Panels []panel
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	for _, name := range []string{"dashboard-fleet.json", "dashboard-pair.json"} {
		var d dashboard
		if err := json.Unmarshal(monitoringFile(t, name), &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = d
	}
	return all
}

// expressions returns the expressions of a dashboard, by where they are.
func (d dashboard) expressions() map[string]string {
	all := map[string]string{}
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %d (%s) %d", p.ID, p.Title, i)] = target.Expr
		}
	}
	return all
}

// expressionProblem returns what is wrong with the metrics and labels of an expression.
func expressionProblem(metrics map[string]metric, expr string) string {
	statuses := []replication.Status{replication.Bootstrapping, replication.Synced, replication.Syncing, replication.Retrying, replication.Held,
		replication.Blocked, replication.Stopped, status.Unreachable, status.Stale, status.Drifted}
	allowed := []string{"job", "instance", "le"}
	for _, use := range regexp.MustCompile(`(chef_sync_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(expr, -1) {
		name, matchers := use[1], use[2]
		m, known := metrics[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); !known && ok && metrics[base].kind == "histogram" {
				m, known = metrics[base], true
			}
		}
		if !known {
			return name + " isn't documented in metrics.md"
		}
		allowed = append(allowed, m.labels...)
		for _, l := range regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`).FindAllStringSubmatch(matchers, -1) {
			if label := l[1]; label != "job" && !slices.Contains(m.labels, label) {
				return name + " has no label " + label
			}
			for value := range strings.SplitSeq(l[3], "|") {
				if l[1] == "status" && !slices.Contains(statuses, replication.Status(value)) {
					return "there is no status " + value
				}
			}
		}
	}
	for _, by := range regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(allowed, label) {
				return "none of its metrics has a label " + label
			}
		}
	}
	return ""
}

// TestAlertRulesUseDocumentedMetrics, and cover what operators are told of.
func TestAlertRulesUseDocumentedMetrics(t *testing.T) {
	metrics, named := documentedMetrics(t), map[string]bool{}
	var covered []string
	for _, r := range alertRules(t) {
		if problem := expressionProblem(metrics, r.Expr); problem != "" {
			t.Errorf("%s: %s", r.Alert, problem)
		}
		if named[r.Alert] || r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: want it once, with for, severity, summary and description: %+v", r.Alert, r)
		}
		named[r.Alert] = true
		covered = append(covered, r.Expr)
	}
	all := strings.Join(covered, "\n")
	for _, want := range []string{`status="held"`, `status="blocked"`, `status="stale"`, `status="unreachable"`, "chef_sync_pair_drifted_objects",
		"chef_sync_server_up", "chef_sync_scheduler_running", "chef_sync_store_up"} {
		if !strings.Contains(all, want) {
			t.Errorf("no rule has %s", want)
		}
	}
}

// TestDashboardsUseDocumentedMetrics, and nearly all of them.
func TestDashboardsUseDocumentedMetrics(t *testing.T) {
	metrics, uids, used := documentedMetrics(t), map[string]bool{}, ""
	for name, d := range dashboards(t) {
		for where, expr := range d.expressions() {
			if problem := expressionProblem(metrics, expr); problem != "" {
				t.Errorf("%s, %s: %s", name, where, problem)
			}
			used += expr + "\n"
		}
		for _, v := range d.Templating.List {
			q, _ := v.Query.(map[string]any)
			text := fmt.Sprint(q["query"])
			if problem := expressionProblem(metrics, text); v.Type == "query" && problem != "" {
				t.Errorf("%s, variable %s: %s", name, v.Name, problem)
			}
		}
		if d.UID == "" || uids[d.UID] {
			t.Errorf("%s: uid %q", name, d.UID)
		}
		uids[d.UID] = true
		d.checkLayout(t, name)
	}
	for name := range metrics {
		if strings.HasPrefix(name, "chef_sync_pair_") && !strings.Contains(used, name) && !strings.HasSuffix(name, "last_attempt_timestamp_seconds") {
			t.Errorf("no dashboard shows %s", name)
		}
	}
}

// checkLayout checks that each panel says what it is and lies beside the others.
func (d dashboard) checkLayout(t *testing.T, name string) {
	t.Helper()
	taken, ids := map[[2]int]int{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("%s: panel %d: want an id of its own, a title, a description and queries", name, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != 0 || x >= 24 {
					t.Fatalf("%s: panel %d lies over panel %d or beyond the edge", name, p.ID, other)
				}
				taken[[2]int{x, y}] = p.ID
			}
		}
	}
}

// TestExpressionProblem shows that the check can fail.
func TestExpressionProblem(t *testing.T) {
	metrics := map[string]metric{"chef_sync_a": {"gauge", []string{"status"}}, "chef_sync_h": {"histogram", []string{"server"}}}
	for expr, want := range map[string]string{
		`max by (job, status) (chef_sync_a{status="held"})`:  "",
		`sum by (server, le) (rate(chef_sync_h_bucket[5m]))`: "",
		`chef_sync_b`:                      "chef_sync_b isn't documented",
		`chef_sync_a_bucket`:               "chef_sync_a_bucket isn't documented",
		`chef_sync_a{server="eu"}`:         "chef_sync_a has no label server",
		`chef_sync_a{status=~"held|fine"}`: "there is no status fine",
		`sum by (class) (chef_sync_a)`:     "none of its metrics has a label class",
	} {
		if got := expressionProblem(metrics, expr); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// TestPromtoolReadsTheExpressionsOfDashboards: make test-alerts runs it.
func TestPromtoolReadsTheExpressionsOfDashboards(t *testing.T) {
	if os.Getenv("CHEFSYNC_PROMTOOL") == "" {
		t.Skip("SKIPPED: needs promtool; make test-alerts sets CHEFSYNC_PROMTOOL")
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "j", "$replica", "eu", "$organization", "acme")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboards\n  rules:\n")
	n := 0
	for _, d := range dashboards(t) {
		exprs := d.expressions()
		for _, where := range slices.Sorted(maps.Keys(exprs)) {
			n++
			fmt.Fprintf(&rules, "  - record: r%d\n    expr: %q\n", n, variables.Replace(exprs[where]))
		}
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("SUCCESS: %d rules", n)) {
		t.Errorf("%v\n%s\n%s", err, out, rules.String())
	}
}
