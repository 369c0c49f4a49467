package contract

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Caller sends signed requests and returns any answer, without retries or negotiation. The zero values of its optional fields are right
// for a current server.
type Caller struct {
	Base string // URL of the organization's API
	User string
	Key  *rsa.PrivateKey

	HTTP     *http.Client        // nil means http.DefaultClient
	Protocol string              // of the signature: "1.3" (the default), "1.1" or "1.0"
	Version  string              // X-Ops-Server-API-Version; "" means 2, "none" leaves it out
	Now      func() time.Time    // nil means time.Now
	Edit     func(*http.Request) // changes a request after it was signed
}

// Reply is an answer as it was received.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do signs and sends one request. The path, below Base, is sent as it is.
func (c Caller) Do(ctx context.Context, method, path, body string) (Reply, error) {
	var content io.Reader = http.NoBody
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, content)
	if err != nil {
		return Reply{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Chef-Version", "18.0.0")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := c.setAuthHeaders(req, []byte(body)); err != nil {
		return Reply{}, err
	}
	if c.Edit != nil {
		c.Edit(req)
	}
	return c.Send(req)
}

// Send sends a request unsigned, as for the URLs of files.
func (c Caller) Send(req *http.Request) (Reply, error) {
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return Reply{}, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return Reply{}, fmt.Errorf("read answer: %w", err)
	}
	return Reply{resp.StatusCode, resp.Header, b}, nil
}

func (c Caller) setAuthHeaders(req *http.Request, body []byte) error {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	stamp := now().UTC().Format("2006-01-02T15:04:05Z")
	version := c.Version
	if version == "" {
		version = "2"
	}
	h := req.Header
	h.Set("X-Ops-UserId", c.User)
	h.Set("X-Ops-Timestamp", stamp)
	if version != "none" {
		h.Set("X-Ops-Server-API-Version", version)
	} else {
		version = "0"
	}
	sig, err := c.computeSignature(req.Method, req.URL.EscapedPath(), stamp, version, body, h)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	text := base64.StdEncoding.EncodeToString(sig)
	for i := 1; text != ""; i++ {
		n := min(60, len(text))
		h.Set("X-Ops-Authorization-"+strconv.Itoa(i), text[:n])
		text = text[n:]
	}
	return nil
}

// computeSignature returns the signature over the canonical text (docs/chef-server-api.md §1.2).
func (c Caller) computeSignature(method, path, stamp, version string, body []byte, h http.Header) ([]byte, error) {
	if c.Protocol == "" || c.Protocol == "1.3" {
		h.Set("X-Ops-Sign", "algorithm=sha256;version=1.3;")
		sum := sha256.Sum256(body)
		hash := base64.StdEncoding.EncodeToString(sum[:])
		h.Set("X-Ops-Content-Hash", hash)
		text := "Method:" + method + "\nPath:" + path + "\nX-Ops-Content-Hash:" + hash + "\nX-Ops-Sign:version=1.3\nX-Ops-Timestamp:" +
			stamp + "\nX-Ops-UserId:" + c.User + "\nX-Ops-Server-API-Version:" + version
		digest := sha256.Sum256([]byte(text))
		return rsa.SignPKCS1v15(rand.Reader, c.Key, crypto.SHA256, digest[:])
	}
	h.Set("X-Ops-Sign", "algorithm=sha1;version="+c.Protocol+";")
	hash := sha1Base64(body)
	h.Set("X-Ops-Content-Hash", hash)
	user := c.User
	if c.Protocol != "1.0" {
		user = sha1Base64([]byte(user))
	}
	text := "Method:" + method + "\nHashed Path:" + sha1Base64([]byte(path)) + "\nX-Ops-Content-Hash:" + hash +
		"\nX-Ops-Timestamp:" + stamp + "\nX-Ops-UserId:" + user
	return rsa.SignPKCS1v15(rand.Reader, c.Key, crypto.Hash(0), []byte(text))
}

func sha1Base64(b []byte) string {
	sum := sha1.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Genuine reports whether the API itself answered, by its version header.
func (r Reply) Genuine() bool { return r.Header.Get("X-Ops-Server-API-Version") != "" }

// Object returns the body as a JSON object, which is empty if the body isn't one.
func (r Reply) Object() map[string]any {
	var m map[string]any
	if err := decodeNumbers(r.Body, &m); err != nil {
		return map[string]any{}
	}
	return m
}

// decodeNumbers decodes JSON and keeps numbers as text.
func decodeNumbers(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

// Text returns the text of an error: the member error, joined if it is a list.
func (r Reply) Text() string {
	switch e := r.Object()["error"].(type) {
	case string:
		return e
	case []any:
		var parts []string
		for _, p := range e {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, " ")
	}
	return ""
}
