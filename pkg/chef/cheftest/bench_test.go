package cheftest_test

import (
	"context"
	"fmt"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/contract"
)

// BenchmarkGet is one signed request for a role, client side included.
func BenchmarkGet(b *testing.B) {
	for _, bits := range []int{1024, 2048} {
		b.Run(fmt.Sprintf("bits=%d", bits), func(b *testing.B) {
			srv := cheftest.New(cheftest.Options{KeyBits: bits})
			org := srv.AddOrg("acme")
			org.PutRole("web", `{}`)
			c := contract.Caller{Base: org.URL(), User: "c", Key: org.AddClient("c"), HTTP: srv.Client()}
			for b.Loop() {
				if r, err := c.Do(context.Background(), "GET", "/roles/web", ""); err != nil || r.Status != 200 {
					b.Fatal(r.Status, err)
				}
			}
		})
	}
}
