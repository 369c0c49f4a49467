package config

import (
	"net"
)

// StatusPage is the [status] table: where a daemon serves its status.
type StatusPage struct {
	Listen string // the address, "" for none
	Token  KeyRef // what readers must present; without it only loopback addresses are served
}

func (s *section) readStatusPage() StatusPage {
	p := StatusPage{Listen: s.addressValue("listen", "9997"), Token: s.refValue("token")}
	if p.Listen != "" && p.Token.IsZero() && !IsLoopback(p.Listen) {
		s.badValue("listen", `also write token = "file:PATH", or use a loopback address: listen = "127.0.0.1:9997"`,
			"%q can be reached from other machines, and no token is configured", p.Listen)
	}
	s.reportUnknownKeys(map[string]string{"token_file": "token", "password": "token", "address": "listen", "port": "listen", "addr": "listen"})
	return p
}

// securityWarnings returns what is insecure about the status page.
func (p StatusPage) securityWarnings() (list []string) {
	if w := p.Token.Warning(); w != "" {
		list = append(list, "token of the status page: "+w)
	}
	if p.Listen != "" && !IsLoopback(p.Listen) {
		list = append(list, "status.listen: the token crosses the network unencrypted; put a proxy with TLS in front of it")
	}
	return list
}

// IsLoopback reports whether only this machine reaches an address to listen on, HOST:PORT.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
