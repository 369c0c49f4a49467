package endpoint

import (
	"testing"

	"chefsync/pkg/object"
)

func FuzzDecodeRow(f *testing.F) {
	for _, row := range []string{`{"name":"web"}`, `null`, `[]`, `{"name":1}`,
		`{"name":"data_bag_item_b_i","json_class":"Chef::DataBagItem","chef_type":"data_bag_item","data_bag":"b","raw_data":{"id":"i"}}`} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		for _, s := range []object.Scope{{Kind: object.Role}, {Kind: object.Environment}, {Kind: object.DataBagItem, Name: "b"}} {
			obj, ok := decodeRow(s, row)
			if ok && (!validRef(obj.Ref) || obj.Fingerprint == "" || obj.Ref.Kind != s.Kind || s.Name != "" && obj.Ref.Name != s.Name) {
				t.Errorf("%q: %+v", row, obj)
			}
		}
	})
}
