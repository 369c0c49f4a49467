package chef

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ExplainTLS returns what is wrong with a connection to a server and what to try if
// the error is one of TLS; otherwise text is "".
func ExplainTLS(err error) (text, hint string) {
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &host):
		return fmt.Sprintf("the certificate is for %s, not for %s", namesOf(host.Certificate), host.Host),
			"write a name that the certificate is for into the URL, or give the server a certificate for " + host.Host
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && strings.Contains(invalid.Detail, "is before"):
		return "the certificate is valid from " + invalid.Cert.NotBefore.UTC().Format(time.DateTime) + " on",
			"set this machine's clock, or give the server a certificate that is valid"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired on " + invalid.Cert.NotAfter.UTC().Format(time.DateTime), "renew the server's certificate"
	case errors.As(err, &unknown):
		return "the certificate is signed by a CA that this machine doesn't trust",
			"set ca in the configuration to the CA that signed the server's certificate"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the server uses plain HTTP on this port, not TLS", "write http:// into the URL, or the port on which the server uses TLS"
	case errors.As(err, &verify):
		return shortCause(verify.Err), KindTLS.hint()
	case errors.As(err, &invalid):
		return shortCause(err), KindTLS.hint()
	}
	return explainHandshake(shortCause(err))
}

// explainHandshake explains a handshake that the server refused, or in which it chose a version
// that is refused here. crypto/tls has no exported errors for these.
func explainHandshake(cause string) (text, hint string) {
	const (
		version = "enable TLS 1.2 or newer on the server, or on the proxy in front of it"
		client  = "the server, or the proxy in front of it, demands a certificate of its clients, which this program doesn't have: " +
			"let this machine connect without one"
		common = "enable TLS 1.2 or newer with current ciphers on the server, or on the proxy in front of it; " +
			"if it demands a certificate of its clients, let this machine connect without one"
	)
	for _, c := range [][2]string{
		{"remote error: tls: protocol version not supported", version},
		{"tls: server selected unsupported protocol version", version},
		{"remote error: tls: certificate required", client},
		{"remote error: tls: bad certificate", client},
		{"remote error: tls: handshake failure", common},
		{"remote error: tls: insufficient security level", common},
		{"remote error: tls: unrecognized name", "write a name that the server's certificate is for into the URL"},
	} {
		if strings.HasPrefix(cause, c[0]) {
			return cause, c[1]
		}
	}
	return "", ""
}

// namesOf lists what a certificate is for.
func namesOf(c *x509.Certificate) string {
	var names []string
	if c != nil {
		names = append(names, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
	}
	switch {
	case len(names) > 3:
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	case len(names) > 0:
		return strings.Join(names, ", ")
	case c != nil && c.Subject.CommonName != "":
		return c.Subject.CommonName + " (in its common name only, which doesn't count)"
	}
	return "no name"
}
