package cheftest_test

import (
	"context"
	"fmt"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/contract"
)

func Example() {
	srv, err := cheftest.Listen("127.0.0.1:0", cheftest.Options{UpdatedSince: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	org := srv.AddOrg("acme")
	key := org.AddClient("reader")
	org.PutRole("web", `{"run_list":["nginx"]}`)
	org.PutCookbook("nginx", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("package 'nginx'\n")}, true)

	reader := contract.Caller{Base: org.URL(), User: "reader", Key: key}
	answer, err := reader.Do(context.Background(), "GET", "/updated_since?seq=0", "")
	fmt.Println(answer.Status, string(answer.Body), err)
	fmt.Println(srv.Requests().Counts())
	// Output:
	// 200 [{"action":"create","id":1,"path":"/roles/web"},{"action":"create","id":2,"path":"/cookbooks/nginx/1.0.0"}] <nil>
	// map[GET:1]
}

func ExampleServer_Fault() {
	srv := cheftest.New(cheftest.Options{})
	org := srv.AddOrg("acme")
	reader := contract.Caller{Base: org.URL(), User: "reader", Key: org.AddClient("reader"), HTTP: srv.Client()}

	// The second request for a role meets a proxy's page.
	fault := srv.Fault(cheftest.Fault{Path: "/roles/*", Nth: 2, Times: 1, Status: 502, HTML: true})
	for range 3 {
		answer, err := reader.Do(context.Background(), "GET", "/roles/web", "")
		fmt.Println(answer.Status, answer.Genuine(), err)
	}
	fmt.Println("hits:", fault.Hits())
	// Output:
	// 404 true <nil>
	// 502 false <nil>
	// 404 true <nil>
	// hits: 1
}
