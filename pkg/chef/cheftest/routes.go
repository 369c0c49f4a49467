package cheftest

import "net/http"

// routeTable lists all routes. ORG stands for an organization.
func (s *Server) routeTable() map[string][]route {
	t := map[string][]route{}
	s.serverRoutes(t)
	s.memberRoutes(t)
	s.objectRoutes(t)
	s.cookbookRoutes(t)
	s.policyRoutes(t)
	return t
}

func serveOnly(f func(*request) *answer) handler { return handler{serve: f} }

func parseAndServe(parse, serve func(*request) *answer) handler {
	return handler{parse: parse, serve: serve}
}

func (s *Server) serverRoutes(t map[string][]route) {
	s.addRoute(t, "/server_api_version", methods{"GET": serveOnly(s.apiVersion)})
	s.addRoute(t, "/organizations", methods{"GET": serveOnly(s.listOrgs), "POST": parseAndServe(parseBody, s.createOrg)})
	s.addRoute(t, "/users", methods{"GET": serveOnly(s.listUsers), "POST": parseAndServe(parseUser, s.createUser)})
	s.addRoute(t, "/users/:user", methods{"GET": serveOnly(s.getUser), "DELETE": serveOnly(s.deleteUser)})
	s.addRoute(t, "/users/:user/_acl", methods{"GET": serveOnly(s.getUserACL)})
	s.addRoute(t, "/users/:user/organizations", methods{"GET": serveOnly(s.userOrgs)})
	s.addRoute(t, "/users/:user/association_requests", methods{"GET": serveOnly(s.userInvites)})
	s.addRoute(t, "/users/:user/association_requests/:id", methods{
		"GET": serveOnly(s.userInvites), "PUT": parseAndServe(parseBody, s.answerInvite),
	})
	s.keyRoutes(t, "/users/:user/keys")
}

func (s *Server) keyRoutes(t map[string][]route, path string) {
	s.addRoute(t, path, methods{"GET": serveOnly(s.listKeys), "POST": parseAndServe(parseKey, s.createKey)})
	s.addRoute(t, path+"/:key", methods{
		"GET": serveOnly(s.getKey), "PUT": parseAndServe(parseKey, s.putKey), "DELETE": serveOnly(s.deleteKey),
	})
}

func (s *Server) memberRoutes(t map[string][]route) {
	s.addRoute(t, "ORG", methods{"GET": serveOnly(s.getOrg), "DELETE": serveOnly(s.deleteOrg)})
	s.addRoute(t, "ORG/users", methods{"GET": serveOnly(s.listMembers), "POST": parseAndServe(parseBody, s.forceAssociate)})
	s.addRoute(t, "ORG/users/:user", methods{"GET": serveOnly(s.getMember), "DELETE": serveOnly(s.deleteMember)})
	s.addRoute(t, "ORG/association_requests", methods{"GET": serveOnly(s.listInvites), "POST": parseAndServe(parseBody, s.createInvite)})
	s.addRoute(t, "ORG/association_requests/:id", methods{"DELETE": serveOnly(s.deleteInvite)})
	s.addRoute(t, "ORG/clients", methods{"GET": serveOnly(s.listClients), "POST": parseAndServe(parseClient, s.createClient)})
	s.addRoute(t, "ORG/clients/:name", methods{
		"GET": serveOnly(s.getClient), "PUT": parseAndServe(parseBody, s.putClient), "DELETE": serveOnly(s.deleteClient),
	})
	s.keyRoutes(t, "ORG/clients/:name/keys")
	s.keyRoutes(t, "ORG/users/:user/keys")
	s.addRoute(t, "ORG/principals/:name", methods{"GET": {serve: s.getPrincipal, open: true}})
	s.addRoute(t, "ORG/groups", methods{"GET": serveOnly(s.listGroups), "POST": parseAndServe(parseBody, s.createGroup)})
	s.addRoute(t, "ORG/groups/:name", methods{
		"GET": serveOnly(s.getGroup), "PUT": parseAndServe(parseBody, s.putGroup), "DELETE": serveOnly(s.deleteGroup),
	})
	s.addRoute(t, "ORG/containers", methods{"GET": serveOnly(s.listContainers)})
	s.addRoute(t, "ORG/containers/:name", methods{"GET": serveOnly(s.getContainer)})
	s.aclRoutes(t)
}

// aclRoutes come before those of the objects: an item called _acl can't be
// reached (docs/chef-server-api.md §4.4).
func (s *Server) aclRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/organizations/_acl", methods{"GET": serveOnly(s.getACL)})
	s.addRoute(t, "ORG/organizations/_acl/:perm", methods{"PUT": parseAndServe(parseACE, s.putACE)})
	for _, kind := range containerNames() {
		bind := func(serve func(*request) *answer) func(*request) *answer {
			return func(q *request) *answer {
				q.args["kind"] = kind
				return serve(q)
			}
		}
		s.addRoute(t, "ORG/"+kind+"/:name/_acl", methods{"GET": serveOnly(bind(s.getACL))})
		s.addRoute(t, "ORG/"+kind+"/:name/_acl/:perm", methods{"PUT": parseAndServe(parseACE, bind(s.putACE))})
	}
}

func (s *Server) objectRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/roles", methods{"GET": serveOnly(s.listRoles), "POST": parseAndServe(parseRole, s.createRole)})
	s.addRoute(t, "ORG/roles/:name", methods{
		"GET": serveOnly(s.getRole), "PUT": parseAndServe(parseRole, s.putRole), "DELETE": serveOnly(s.deleteRole),
	})
	s.addRoute(t, "ORG/environments", methods{
		"GET": serveOnly(s.listEnvironments), "POST": parseAndServe(parseEnvironment, s.createEnvironment),
	})
	s.addRoute(t, "ORG/environments/:name", methods{
		"GET": serveOnly(s.getEnvironment), "PUT": parseAndServe(parseEnvironment, s.putEnvironment),
		"DELETE": parseAndServe(refuseDefault, s.deleteEnvironment),
	})
	s.addRoute(t, "ORG/data", methods{"GET": serveOnly(s.listBags), "POST": parseAndServe(parseBag, s.createBag)})
	s.addRoute(t, "ORG/data/:name", methods{
		"GET": serveOnly(s.getBag), "POST": parseAndServe(parseItem, s.createItem), "DELETE": serveOnly(s.deleteBag),
	})
	s.addRoute(t, "ORG/data/:name/:item", methods{
		"GET": serveOnly(s.getItem), "PUT": parseAndServe(parseItem, s.putItem), "DELETE": serveOnly(s.deleteItem),
	})
	s.addRoute(t, "ORG/search", methods{"GET": serveOnly(s.listIndexes)})
	s.addRoute(t, "ORG/search/:index", methods{"GET": parseAndServe(parseSearch, s.searchIndex),
		"POST": parseAndServe(parseSearch, s.searchIndex)})
	s.addRoute(t, "ORG/updated_since", methods{"GET": serveOnly(s.updatedSince)})
	for _, path := range []string{"ORG/nodes", "ORG/nodes/:name", "ORG/environments/:name/:what", "ORG/roles/:name/environments"} {
		s.addRoute(t, path, methods{"GET": serveOnly(notServed), "POST": serveOnly(notServed), "PUT": serveOnly(notServed),
			"DELETE": serveOnly(notServed)})
	}
}

// notServed answers routes that this server doesn't implement.
func notServed(*request) *answer {
	return fail(http.StatusNotImplemented, "cheftest does not serve this")
}

func (s *Server) cookbookRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/cookbooks", methods{"GET": parseAndServe(parseNumVersions, s.listCookbooks)})
	s.addRoute(t, "ORG/cookbooks/:name", methods{"GET": parseAndServe(parseNumVersions, s.getCookbook)})
	s.addRoute(t, "ORG/cookbooks/:name/:version", methods{
		"GET": parseAndServe(parseCookbookVersion, s.getCookbookVersion), "PUT": parseAndServe(parseCookbook, s.putCookbookVersion),
		"DELETE": parseAndServe(parseCookbookVersion, s.deleteCookbookVersion),
	})
	s.addRoute(t, "ORG/universe", methods{"GET": serveOnly(s.getUniverse)})
	s.addRoute(t, "ORG/sandboxes", methods{"POST": parseAndServe(parseSandbox, s.createSandbox)})
	s.addRoute(t, "ORG/sandboxes/:id", methods{"PUT": parseAndServe(parseCommit, s.commitSandbox)})
	s.addRoute(t, "ORG/cookbook_artifacts", methods{"GET": serveOnly(s.listArtifacts)})
	s.addRoute(t, "ORG/cookbook_artifacts/:name", methods{"GET": serveOnly(s.getArtifacts)})
	s.addRoute(t, "ORG/cookbook_artifacts/:name/:identifier", methods{
		"GET": serveOnly(s.getArtifact), "PUT": parseAndServe(parseArtifact, s.putArtifact), "DELETE": serveOnly(s.deleteArtifact),
	})
}

func (s *Server) policyRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/policies", methods{"GET": serveOnly(s.listPolicies)})
	s.addRoute(t, "ORG/policies/:policy", methods{"GET": serveOnly(s.getPolicy), "DELETE": serveOnly(s.deletePolicy)})
	s.addRoute(t, "ORG/policies/:policy/revisions", methods{"POST": parseAndServe(parsePolicy, s.createRevision)})
	s.addRoute(t, "ORG/policies/:policy/revisions/:revision", methods{
		"GET": serveOnly(s.getRevision), "DELETE": serveOnly(s.deleteRevision),
	})
	s.addRoute(t, "ORG/policy_groups", methods{"GET": serveOnly(s.listPolicyGroups)})
	s.addRoute(t, "ORG/policy_groups/:group", methods{"GET": serveOnly(s.getPolicyGroup), "DELETE": serveOnly(s.deletePolicyGroup)})
	s.addRoute(t, "ORG/policy_groups/:group/policies/:policy", methods{
		"GET": serveOnly(s.getBinding), "PUT": parseAndServe(parsePolicy, s.putBinding), "DELETE": serveOnly(s.deleteBinding),
	})
}
