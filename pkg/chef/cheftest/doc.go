// Package cheftest is an in-memory Chef Infra Server for tests and demos. It
// needs nothing but the standard library, starts in a millisecond and behaves
// like a real server where it matters to a client: it verifies signatures
// (versions 1.0 to 1.3) and clock skew, knows organizations, users, API
// clients, groups and access control lists, stores roles, environments, data
// bags, cookbooks, policies and cookbook artifacts with the validation and the
// oddities of the real server, serves file content by signed URLs that expire,
// searches with an index that may lag, and answers unknown routes with the
// front end's HTML pages. It serves the change feed updated_since, on request.
// Its behavior follows docs/chef-server-api.md; where live servers were seen to
// differ from documentation, it follows the live servers (§13).
//
// Start one in a test and use it with any Chef client:
//
//	srv := cheftest.Start(t)
//	org := srv.AddOrg("acme")
//	key := org.AddClient("reader") // an API client, as POST /clients makes it
//	org.PutRole("web", `{"run_list":["recipe[nginx]"]}`)
//	// the client's base URL is srv.URL + "/organizations/acme"
//
// [Start] and [Listen] open a loopback port. [New] opens none: the server is
// an [net/http.Handler], and [Server.Transport] reaches it without sockets,
// which also works inside a testing/synctest bubble.
//
// Failures of real servers can be simulated: see
// [Fault], [Server.SetMaintenance], [Server.SetLicense], [Org.HoldBack] and
// [Org.FreezeIndex]. The requests of a client can be counted: see [Server.Requests].
//
// A Server is safe for concurrent use. It doesn't implement nodes, the dependency solver,
// environment-scoped listings and real search queries. Such routes answer 501.
package cheftest
