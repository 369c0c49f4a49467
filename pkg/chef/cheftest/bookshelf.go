package cheftest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	uploadType = "application/x-binary"
	stampForm  = "20060102T150405Z"
)

func (o *Org) blobPath(sum string) string {
	return "/bookshelf/organization-" + o.guid + "/checksum-" + strings.ToLower(sum)
}

func (q *request) fileURL(sum string) string {
	return q.s.signURL(q, http.MethodGet, sum, q.s.opts.DownloadTTL)
}

func (q *request) uploadURL(sum string) string {
	return q.s.signURL(q, http.MethodPut, sum, q.s.opts.UploadTTL)
}

// signURL returns a URL in the form of S3. Its signature covers the
// method, the host, the path, the rest of the query, and for an upload the
// headers Content-MD5 and Content-Type (docs/chef-server-api.md §3.4, §3.5).
func (s *Server) signURL(q *request, method, sum string, ttl time.Duration) string {
	signed := "host"
	if method == http.MethodPut {
		signed = "content-md5;content-type;host"
	}
	now := s.now()
	query := fmt.Sprintf("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=%s&X-Amz-Expires=%d&X-Amz-SignedHeaders=%s",
		url.QueryEscape("cheftest/"+now.Format("20060102")+"/us-east-1/s3/aws4_request"), now.Format(stampForm),
		int(ttl.Seconds()), url.QueryEscape(signed))
	path := q.org.blobPath(sum)
	want := s.computeMAC(method, q.r.Host, path, query, uploadHeaders(method, sum))
	return q.baseURL() + path + "?" + query + "&X-Amz-Signature=" + want
}

// uploadHeaders returns the headers that an upload of a checksum must have.
func uploadHeaders(method, sum string) string {
	if method != http.MethodPut {
		return ""
	}
	raw, _ := hex.DecodeString(sum)
	return base64.StdEncoding.EncodeToString(raw) + "\n" + uploadType
}

func (s *Server) computeMAC(parts ...string) string {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(h.Sum(nil))
}

// serveFile serves file content. It needs no Chef headers and answers errors in XML.
func (s *Server) serveFile(q *request) *answer {
	method := q.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if method != http.MethodGet && method != http.MethodPut {
		return xmlError(http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
	query, sig, _ := strings.Cut(q.r.URL.RawQuery, "&X-Amz-Signature=")
	headers := ""
	if method == http.MethodPut {
		headers = q.r.Header.Get("Content-MD5") + "\n" + q.r.Header.Get("Content-Type")
	}
	if !hmac.Equal([]byte(sig), []byte(s.computeMAC(method, q.r.Host, q.path, query, headers))) {
		return xmlError(http.StatusForbidden, "SignatureDoesNotMatch")
	}
	values, _ := url.ParseQuery(query)
	from, err := time.Parse(stampForm, values.Get("X-Amz-Date"))
	ttl, err2 := time.ParseDuration(values.Get("X-Amz-Expires") + "s")
	if err != nil || err2 != nil || !s.now().Before(from.Add(ttl)) {
		return xmlError(http.StatusForbidden, "AccessDenied")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	org, sum := s.blobOwner(q.path)
	if org == nil {
		return xmlError(http.StatusNotFound, "NoSuchBucket")
	}
	if method == http.MethodPut {
		return org.storeUpload(q, sum)
	}
	content, found := org.blobs[sum]
	if !found {
		return xmlError(http.StatusNotFound, "NoSuchKey")
	}
	ctype := q.r.Header.Get("Accept")
	if ctype == "" {
		ctype = uploadType
	}
	return (&answer{status: http.StatusOK, body: content, ctype: ctype, frontEnd: true}).withHeader("ETag", `"`+md5Base64(content)+`"`)
}

func (s *Server) blobOwner(path string) (*Org, string) {
	parts := splitPath(path)
	if len(parts) != 3 {
		return nil, ""
	}
	id, isOrg := strings.CutPrefix(parts[1], "organization-")
	sum, isSum := strings.CutPrefix(parts[2], "checksum-")
	for _, o := range s.orgs {
		if isOrg && isSum && o.guid == id {
			return o, sum
		}
	}
	return nil, ""
}

func (o *Org) storeUpload(q *request, sum string) *answer {
	if q.r.ContentLength < 0 {
		return xmlError(http.StatusLengthRequired, "MissingContentLength")
	}
	if md5Base64(q.body) != q.r.Header.Get("Content-MD5") {
		return &answer{status: http.StatusNotAcceptable, frontEnd: true}
	}
	o.blobs[sum] = q.body
	return (&answer{status: http.StatusNoContent, frontEnd: true}).withHeader("ETag", `"`+md5Base64(q.body)+`"`)
}

func md5Base64(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func xmlError(status int, code string) *answer {
	return &answer{
		status: status, frontEnd: true, ctype: "application/xml",
		body: fmt.Appendf(nil, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>",
			code, http.StatusText(status)),
	}
}
