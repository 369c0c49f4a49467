package chef

import (
	"cmp"
	"encoding/json"
	"net/http"
)

// licenseHeader is in each answer of a server whose license has expired, also while it goes
// on answering for a time (docs/chef-server-api.md §1.6).
const licenseHeader = "X-Ops-License"

// LicenseWarning returns what the newest answer of the server said of a license that has
// expired and still is accepted, or "".
func (c *Client) LicenseWarning() string {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.licenseWarning
}

// recordLicense records what an answer says of the server's license.
func (c *Client) recordLicense(p *reply) {
	if !p.fromChefServer() {
		return
	}
	warning := readLicenseWarning(p.header)
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	c.state.licenseWarning = warning
}

func readLicenseWarning(h http.Header) string {
	var license struct {
		ExpirationDateTime, WarningMessage string
		GracePeriod                        bool
	}
	text := []byte(h.Get(licenseHeader))
	if len(text) == 0 || checkJSON(text) != nil || json.Unmarshal(text, &license) != nil || !license.GracePeriod {
		return ""
	}
	return cleanText(cmp.Or(license.WarningMessage, "the license expired on "+license.ExpirationDateTime), maxText)
}
