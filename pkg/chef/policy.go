package chef

import "fmt"

// CleanRevision makes the body of a GET of a policy revision fit to be sent:
// policy_group_list, which servers add, would be stored (docs/chef-server-api.md §5.2).
func CleanRevision(body []byte) ([]byte, error) {
	m, err := decodeMembers(body)
	if err != nil {
		return nil, fmt.Errorf("read a policy revision: %w", err)
	}
	return m.filterKeys(func(key string) bool { return key != "policy_group_list" }).encode(), nil
}
