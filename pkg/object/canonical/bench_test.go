package canonical

import (
	"fmt"
	"strings"
	"testing"
)

// largeRole is a role of about 8 KB, as roles with many attributes are.
func largeRole() []byte {
	var b strings.Builder
	b.WriteString(`{"name":"web","run_list":["recipe[apache2]"],"default_attributes":{`)
	for i := range 200 {
		fmt.Fprintf(&b, `"attr%03d":{"value":%d,"path":"/etc/app/conf.d"},`, 199-i, i)
	}
	b.WriteString(`"last":1.5}}`)
	return []byte(b.String())
}

// cookbookOf is a cookbook with n files and URLs of the usual length.
func cookbookOf(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"cookbook_name":"a","version":"1.0.0","frozen?":false,"metadata":{"name":"a"},"all_files":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"recipes/r%d.rb","path":"recipes/r%d.rb","checksum":"%032x","specificity":"default","url":"https://chef.example.com/bookshelf/organization-x/checksum-y?%s"}`, i, i, i, strings.Repeat("Signature", 30))
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func BenchmarkForms(b *testing.B) {
	for _, bb := range []struct {
		name string
		form func([]byte) ([]byte, error)
		body []byte
	}{
		{"small item", DataBagItem, []byte(`{"id":"alice","uid":1001,"shell":"/bin/bash","groups":["a","b"]}`)},
		{"small role", Role, []byte(fullRole)},
		{"role of 8 KB", Role, largeRole()},
		{"cookbook of 50 files", CookbookVersion, cookbookOf(50)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.body)))
			b.ReportAllocs()
			for b.Loop() {
				form, err := bb.form(bb.body)
				if err != nil {
					b.Fatal(err)
				}
				_ = Fingerprint(form)
			}
		})
	}
}
