package chef

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestARefusedHandshakeIsExplained: a server that was reached needs neither another URL nor
// an open firewall.
func TestARefusedHandshakeIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		server     *tls.Config
		text, hint string
	}{
		"old version": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version not supported", "enable TLS 1.2"},
		"client certificate": {&tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}, "certificate required",
			"demands a certificate of its clients"},
		"client certificate, TLS 1.2": {&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, "handshake failure",
			"if it demands a certificate of its clients"},
		"no common cipher": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
			"handshake failure", "current ciphers"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.NotFoundHandler())
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.TLS = c.server
			srv.StartTLS()
			defer srv.Close()
			err := getPath(newTestClient(t, nil, singleAttempt, func(cfg *Config) { cfg.URL, cfg.Insecure = srv.URL, true }), "/roles")
			if e := wantKind(t, err, KindTLS); !strings.Contains(e.Message, c.text) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("message %q, hint %q; want %q, %q", e.Message, e.Hint, c.text, c.hint)
			}
		})
	}
}

// TestAnOldTLSVersionThatTheServerChooses: servers of before TLS 1.3 answer with the version
// that they have, and the client refuses it.
func TestAnOldTLSVersionThatTheServerChooses(t *testing.T) {
	hello := "\x03\x02" + strings.Repeat("r", 32) + "\x00\xc0\x13\x00" // TLS 1.1, random, no session, a cipher, no compression
	client := newPipeClient(t, "https://chef.example.com", func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(c)) }()
		_, _ = io.WriteString(c, "\x16\x03\x02\x00\x2a\x02\x00\x00\x26"+hello)
	})
	e := wantKind(t, getPath(client, "/roles"), KindTLS)
	if !strings.Contains(e.Message, "unsupported protocol version") || !strings.Contains(e.Hint, "enable TLS 1.2") {
		t.Errorf("message %q, hint %q", e.Message, e.Hint)
	}
}
