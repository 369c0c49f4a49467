package cheftest

import "net/http"

// routeTable lists all routes. ORG stands for an organization.
func (s *Server) routeTable() map[string][]route {
	t := map[string][]route{}
	s.serverRoutes(t)
	s.peopleRoutes(t)
	s.objectRoutes(t)
	s.cookbookRoutes(t)
	s.policyRoutes(t)
	return t
}

func get(f func(*request) *answer) handler { return handler{serve: f} }

func take(parse, serve func(*request) *answer) handler { return handler{parse: parse, serve: serve} }

func (s *Server) serverRoutes(t map[string][]route) {
	s.addRoute(t, "/server_api_version", methods{"GET": get(s.apiVersion)})
	s.addRoute(t, "/organizations", methods{"GET": get(s.listOrgs), "POST": take(parseBody, s.createOrg)})
	s.addRoute(t, "/users", methods{"GET": get(s.listUsers), "POST": take(parseUser, s.createUser)})
	s.addRoute(t, "/users/:user", methods{"GET": get(s.getUser), "DELETE": get(s.deleteUser)})
	s.addRoute(t, "/users/:user/_acl", methods{"GET": get(s.getUserACL)})
	s.addRoute(t, "/users/:user/organizations", methods{"GET": get(s.userOrgs)})
	s.addRoute(t, "/users/:user/association_requests", methods{"GET": get(s.userInvites)})
	s.addRoute(t, "/users/:user/association_requests/:id", methods{
		"GET": get(s.userInvites), "PUT": take(parseBody, s.answerInvite),
	})
	s.keyRoutes(t, "/users/:user/keys")
}

func (s *Server) keyRoutes(t map[string][]route, path string) {
	s.addRoute(t, path, methods{"GET": get(s.listKeys), "POST": take(parseKey, s.createKey)})
	s.addRoute(t, path+"/:key", methods{
		"GET": get(s.getKey), "PUT": take(parseKey, s.putKey), "DELETE": get(s.deleteKey),
	})
}

func (s *Server) peopleRoutes(t map[string][]route) {
	s.addRoute(t, "ORG", methods{"GET": get(s.getOrg), "DELETE": get(s.deleteOrg)})
	s.addRoute(t, "ORG/users", methods{"GET": get(s.listMembers), "POST": take(parseBody, s.forceAssociate)})
	s.addRoute(t, "ORG/users/:user", methods{"GET": get(s.getMember), "DELETE": get(s.deleteMember)})
	s.addRoute(t, "ORG/association_requests", methods{"GET": get(s.listInvites), "POST": take(parseBody, s.createInvite)})
	s.addRoute(t, "ORG/association_requests/:id", methods{"DELETE": get(s.deleteInvite)})
	s.addRoute(t, "ORG/clients", methods{"GET": get(s.listClients), "POST": take(parseClient, s.createClient)})
	s.addRoute(t, "ORG/clients/:name", methods{
		"GET": get(s.getClient), "PUT": take(parseBody, s.putClient), "DELETE": get(s.deleteClient),
	})
	s.keyRoutes(t, "ORG/clients/:name/keys")
	s.keyRoutes(t, "ORG/users/:user/keys")
	s.addRoute(t, "ORG/principals/:name", methods{"GET": {serve: s.principal, open: true}})
	s.addRoute(t, "ORG/groups", methods{"GET": get(s.listGroups), "POST": take(parseBody, s.createGroup)})
	s.addRoute(t, "ORG/groups/:name", methods{
		"GET": get(s.getGroup), "PUT": take(parseBody, s.putGroup), "DELETE": get(s.deleteGroup),
	})
	s.addRoute(t, "ORG/containers", methods{"GET": get(s.listContainers)})
	s.addRoute(t, "ORG/containers/:name", methods{"GET": get(s.getContainer)})
	s.aclRoutes(t)
}

// aclRoutes come before those of the objects: an item called _acl can't be
// reached (docs/chef-server-api.md §4.4).
func (s *Server) aclRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/organizations/_acl", methods{"GET": get(s.getACL)})
	s.addRoute(t, "ORG/organizations/_acl/:perm", methods{"PUT": take(parseACE, s.putACE)})
	for _, kind := range containerNames() {
		bind := func(serve func(*request) *answer) func(*request) *answer {
			return func(q *request) *answer {
				q.args["kind"] = kind
				return serve(q)
			}
		}
		s.addRoute(t, "ORG/"+kind+"/:name/_acl", methods{"GET": get(bind(s.getACL))})
		s.addRoute(t, "ORG/"+kind+"/:name/_acl/:perm", methods{"PUT": take(parseACE, bind(s.putACE))})
	}
}

func (s *Server) objectRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/roles", methods{"GET": get(s.listRoles), "POST": take(parseRole, s.createRole)})
	s.addRoute(t, "ORG/roles/:name", methods{
		"GET": get(s.getRole), "PUT": take(parseRole, s.putRole), "DELETE": get(s.deleteRole),
	})
	s.addRoute(t, "ORG/environments", methods{
		"GET": get(s.listEnvironments), "POST": take(parseEnvironment, s.createEnvironment),
	})
	s.addRoute(t, "ORG/environments/:name", methods{
		"GET": get(s.getEnvironment), "PUT": take(parseEnvironment, s.putEnvironment),
		"DELETE": take(keepDefault, s.deleteEnvironment),
	})
	s.addRoute(t, "ORG/data", methods{"GET": get(s.listBags), "POST": take(parseBag, s.createBag)})
	s.addRoute(t, "ORG/data/:name", methods{
		"GET": get(s.getBag), "POST": take(parseItem, s.createItem), "DELETE": get(s.deleteBag),
	})
	s.addRoute(t, "ORG/data/:name/:item", methods{
		"GET": get(s.getItem), "PUT": take(parseItem, s.putItem), "DELETE": get(s.deleteItem),
	})
	s.addRoute(t, "ORG/search", methods{"GET": get(s.listIndexes)})
	s.addRoute(t, "ORG/search/:index", methods{"GET": take(parseSearch, s.search), "POST": take(parseSearch, s.search)})
	s.addRoute(t, "ORG/updated_since", methods{"GET": get(s.updatedSince)})
	for _, path := range []string{"ORG/nodes", "ORG/nodes/:name", "ORG/environments/:name/:what", "ORG/roles/:name/environments"} {
		s.addRoute(t, path, methods{"GET": get(notServed), "POST": get(notServed), "PUT": get(notServed), "DELETE": get(notServed)})
	}
}

// notServed stands for what a real server has and this one hasn't.
func notServed(*request) *answer {
	return fail(http.StatusNotImplemented, "cheftest does not serve this")
}

func (s *Server) cookbookRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/cookbooks", methods{"GET": take(parseNumVersions, s.listCookbooks)})
	s.addRoute(t, "ORG/cookbooks/:name", methods{"GET": take(parseNumVersions, s.getCookbook)})
	s.addRoute(t, "ORG/cookbooks/:name/:version", methods{
		"GET": take(parseCookbookVersion, s.getCookbookVersion), "PUT": take(parseCookbook, s.putCookbookVersion),
		"DELETE": take(parseCookbookVersion, s.deleteCookbookVersion),
	})
	s.addRoute(t, "ORG/universe", methods{"GET": get(s.universe)})
	s.addRoute(t, "ORG/sandboxes", methods{"POST": take(parseSandbox, s.createSandbox)})
	s.addRoute(t, "ORG/sandboxes/:id", methods{"PUT": take(parseCommit, s.commitSandbox)})
	s.addRoute(t, "ORG/cookbook_artifacts", methods{"GET": get(s.listArtifacts)})
	s.addRoute(t, "ORG/cookbook_artifacts/:name", methods{"GET": get(s.getArtifacts)})
	s.addRoute(t, "ORG/cookbook_artifacts/:name/:identifier", methods{
		"GET": get(s.getArtifact), "PUT": take(parseArtifact, s.putArtifact), "DELETE": get(s.deleteArtifact),
	})
}

func (s *Server) policyRoutes(t map[string][]route) {
	s.addRoute(t, "ORG/policies", methods{"GET": get(s.listPolicies)})
	s.addRoute(t, "ORG/policies/:policy", methods{"GET": get(s.getPolicy), "DELETE": get(s.deletePolicy)})
	s.addRoute(t, "ORG/policies/:policy/revisions", methods{"POST": take(parsePolicy, s.createRevision)})
	s.addRoute(t, "ORG/policies/:policy/revisions/:revision", methods{
		"GET": get(s.getRevision), "DELETE": get(s.deleteRevision),
	})
	s.addRoute(t, "ORG/policy_groups", methods{"GET": get(s.listPolicyGroups)})
	s.addRoute(t, "ORG/policy_groups/:group", methods{"GET": get(s.getPolicyGroup), "DELETE": get(s.deletePolicyGroup)})
	s.addRoute(t, "ORG/policy_groups/:group/policies/:policy", methods{
		"GET": get(s.getBound), "PUT": take(parsePolicy, s.bind), "DELETE": get(s.unbind),
	})
}
