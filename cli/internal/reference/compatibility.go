package reference

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"chefsync/pkg/chef/contract"
)

// testedServer is a server that the tests run the contract suite against, and the list of
// differences that they hold it to.
type testedServer struct {
	name, heading, about, test string
	differences                map[string]string
}

func testedServers() []testedServer {
	const tests = "../pkg/chef/contract/contract_test.go#"
	return []testedServer{
		{name: "in-memory server", heading: "The in-memory server", test: tests + "TestCheftest",
			about: "[`cheftest`](../pkg/chef/cheftest/doc.go) runs in the tests and in `chef-sync-ctl demo`. It follows Chef Infra Server 15.10.118."},
		{name: "in-memory, no organizations", heading: "The in-memory server without organizations", test: tests + "TestCheftestWithoutOrganizations",
			about:       "The same in the form of Chef 11 and goiardi: no organizations, and at most version 1 of the API.",
			differences: contract.WithoutOrganizations()},
		{name: "goiardi 0.11.10", heading: "goiardi", test: tests + "TestGoiardi",
			about:       "goiardi 0.11.10 of Debian, asked at version 1 of the API, as a primary and as a replica.",
			differences: contract.Goiardi()},
	}
}

// compatibilityText is the page, with a place for the results of the contract suite.
//
//go:embed compatibility.txt
var compatibilityText string

// Compatibility returns docs/compatibility.md.
func Compatibility() string {
	var b strings.Builder
	servers := testedServers()
	writeCounts(&b, servers)
	for _, s := range servers {
		writeDifferences(&b, s)
	}
	return strings.Replace(compatibilityText, "{{differences}}", b.String(), 1)
}

// writeCounts writes how many beliefs of each area hold on each server.
func writeCounts(b *strings.Builder, servers []testedServer) {
	b.WriteString("| area |")
	for _, s := range servers {
		fmt.Fprintf(b, " [%s](%s) |", s.name, s.test)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(servers)) + "\n")
	writeRow := func(area string, beliefs []string) {
		fmt.Fprintf(b, "| %s |", area)
		for _, s := range servers {
			fmt.Fprintf(b, " %d of %d |", len(beliefs)-len(differing(s, beliefs)), len(beliefs))
		}
		b.WriteString("\n")
	}
	all := contract.Beliefs()
	areas, byArea := []string{}, map[string][]string{}
	for _, belief := range all {
		area, _, _ := strings.Cut(belief, "/")
		if !slices.Contains(areas, area) {
			areas = append(areas, area)
		}
		byArea[area] = append(byArea[area], belief)
	}
	for _, area := range areas {
		writeRow(area, byArea[area])
	}
	writeRow("**all**", all)
	b.WriteString("\n")
}

// differing returns the beliefs that don't hold on a server.
func differing(s testedServer, beliefs []string) (list []string) {
	for _, belief := range beliefs {
		if _, differs := s.differences[belief]; differs {
			list = append(list, belief)
		}
	}
	return list
}

func writeDifferences(b *strings.Builder, s testedServer) {
	fmt.Fprintf(b, "### %s\n\n%s\n\n", s.heading, s.about)
	if len(s.differences) == 0 {
		b.WriteString("No differences.\n\n")
		return
	}
	b.WriteString("| Chef Infra Server | here |\n|---|---|\n")
	for _, belief := range differing(s, contract.Beliefs()) {
		area, what, _ := strings.Cut(belief, "/")
		fmt.Fprintf(b, "| %s: %s | %s |\n", formatCell(area), formatCell(what), formatCell(s.differences[belief]))
	}
	b.WriteString("\n")
}
