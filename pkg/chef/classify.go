package chef

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// reply is an HTTP answer, read whole.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	version int      // the API version the request was sent at
	proto   protocol // the protocol it was signed with
}

// fromChefServer reports whether the Chef Server itself answered (docs/chef-server-api.md §13).
func (r *reply) fromChefServer() bool { return r.header.Get("X-Ops-Server-API-Version") != "" }

// backendDown reports whether a front end answered because the Chef Server behind it
// doesn't: it restarts, hangs or is in maintenance.
func (r *reply) backendDown() bool {
	switch r.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return !r.fromChefServer()
	}
	return false
}

// The texts that distinguish errors of one status (docs/chef-server-api.md §1.3, §3.3,
// §8.4).
var (
	protocolPattern    = regexp.MustCompile(`(?i)authentication protocol version|unsupported.*sign.*version|bad.*x-ops-sign`)
	skewPattern        = regexp.MustCompile(`(?i)synchroni[sz]e the clock|check your system's clock|time ?stamp`)
	identityPattern    = regexp.MustCompile(`(?i)^failed to authenticate (as|via)|^invalid (signature for user or client|webui signature)`)
	noOrgPattern       = regexp.MustCompile(`(?i)organization '[^']*' does not exist`)
	notMemberPattern   = regexp.MustCompile(`(?i)not associated with organization`)
	memberFaultPattern = regexp.MustCompile(`(?i)failed to verify user .* as a member of organization`)
	permissionPattern  = regexp.MustCompile(`(?i)missing (read|create|update|delete|grant) permission`)
	licensePattern     = regexp.MustCompile(`(?i)\blicen[cs]e\b.*\b(expired|invalid|not valid|does not exist)\b`)
	checksumPattern    = regexp.MustCompile(`(?i)checksum .*(hasn't|has not) (yet )?been uploaded|checksum that hasn't been uploaded`)
)

// classifyReply returns the error of an answer that isn't a success, or nil.
// A 200 needs a JSON body: goiardi answers unknown paths with an empty one.
func (c *Client) classifyReply(r *request, p *reply) *Error {
	switch {
	case p.status >= 200 && p.status < 300:
		return c.checkSuccess(r, p)
	case isTemporaryStatus(p.status):
		return c.replyError(r, p, KindUnavailable, "")
	case p.status == http.StatusRequestEntityTooLarge, p.status == http.StatusRequestURITooLong:
		return c.replyError(r, p, KindTooLarge, "")
	case p.status >= 300 && p.status < 400:
		e := c.replyError(r, p, KindForeign, "a redirect to "+redirectTarget(p.header))
		e.Hint = "use the URL that the server redirects to (https instead of http?), or look for a login page in front"
		return e
	}
	text, message := errorText(p.body)
	e := c.replyError(r, p, classifyRefusal(r, p, text, message), text)
	if e.Kind == KindClockSkew {
		e.Message += skewText(p.header, c.cfg.Now())
	}
	return e
}

// isTemporaryStatus reports whether a status may go away by itself, whoever answers
// with it. 408 comes from proxies that got the request too slowly.
func isTemporaryStatus(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

func (c *Client) checkSuccess(r *request, p *reply) *Error {
	if !p.fromChefServer() {
		return c.replyError(r, p, KindForeign, "the answer lacks the header X-Ops-Server-API-Version ("+describeBody(p.body)+")")
	}
	if len(p.body) == 0 {
		if p.status == http.StatusOK {
			return c.replyError(r, p, KindForeign, "an empty answer; the server doesn't know this path")
		}
		return nil
	}
	if err := checkJSON(p.body); errors.Is(err, errTooDeep) {
		e := c.replyError(r, p, KindTooLarge, err.Error())
		e.Hint = "no real object is nested like this; check it on the server"
		return e
	} else if err != nil {
		return c.replyError(r, p, KindForeign, err.Error()+" ("+describeBody(p.body)+")")
	}
	return nil
}

// classifyRefusal classifies the answers from 400 to 499.
func classifyRefusal(r *request, p *reply, text, message string) Kind {
	known := p.fromChefServer()
	switch p.status {
	case http.StatusUnauthorized:
		switch {
		case skewPattern.MatchString(text):
			return KindClockSkew
		case known, identityPattern.MatchString(text): // Cinc Server NG names no version with a 401
			return KindKey
		}
		return KindFrontEnd
	case http.StatusPaymentRequired, http.StatusForbidden:
		if isLicenseRefusal(p, text, message) {
			return KindLicense
		}
		return classifyForbidden(known, text)
	case http.StatusNotAcceptable:
		return KindVersion
	}
	if !known {
		return KindForeign
	}
	switch p.status {
	case http.StatusNotFound, http.StatusGone:
		if noOrgPattern.MatchString(text) {
			return KindOrgMissing
		}
		return KindAbsent
	case http.StatusConflict:
		if r.isCookbookPut() {
			return KindFrozen
		}
		return KindExists
	case http.StatusPreconditionFailed:
		if r.isCookbookPut() {
			return KindFrozen
		}
	case http.StatusBadRequest:
		if checksumPattern.MatchString(text) {
			return KindMissingChecksum
		}
	}
	return KindInvalid
}

// isLicenseRefusal reports whether a server refuses every request for want of a license
// (docs/chef-server-api.md §1.6), which has nothing to do with anybody's permissions.
func isLicenseRefusal(p *reply, text, message string) bool {
	return message == "invalid-license" || checkJSON(p.body) == nil && licensePattern.MatchString(text)
}

func classifyForbidden(known bool, text string) Kind {
	switch {
	case memberFaultPattern.MatchString(text):
		return KindMembershipFault
	case notMemberPattern.MatchString(text):
		return KindNotMember
	case permissionPattern.MatchString(text), known:
		return KindPermission
	}
	return KindFrontEnd
}

// replyError builds the error of an answer.
func (c *Client) replyError(r *request, p *reply, kind Kind, text string) *Error {
	if text == "" {
		text, _ = errorText(p.body)
	}
	e := c.newError(r, kind, text)
	e.Status = p.status
	e.RetryAfter = retryAfter(p.header, c.cfg.Now())
	return e
}

func (c *Client) newError(r *request, kind Kind, text string) *Error {
	return &Error{Server: c.cfg.Name, Op: r.op, Method: r.method, Path: r.displayPath(), Kind: kind,
		Message: cleanText(text, maxText), Hint: kind.hint()}
}

// transportError makes an error of a request without an answer. The causes of
// our own time limits aren't wrapped: only the caller's context makes an error
// that is context.Canceled or context.DeadlineExceeded.
func (c *Client) transportError(r *request, err error, canceled error) *Error {
	if canceled != nil {
		e := c.newError(r, KindCanceled, "")
		e.Err = canceled
		return e
	}
	if errors.Is(err, errInternal) {
		return c.fileHostError(r, r.url.Hostname(), errInternal.Error())
	}
	kind, text := KindUnreachable, c.timeoutText(err)
	if text == "" {
		text = shortCause(err)
	}
	wrong, hint := ExplainTLS(err)
	if wrong != "" {
		kind, text = KindTLS, wrong
	}
	e := c.newError(r, kind, text)
	e.Hint = cmp.Or(hint, e.Hint)
	return e
}

// shortCause returns the innermost text of a network error, without the URL that
// net/http puts in front: file URLs carry signatures.
func shortCause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// skewText says how far the server's clock is from ours, by its Date header. That may come
// from a proxy with a clock that is right.
func skewText(h http.Header, now time.Time) string {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return ""
	}
	switch d := date.Sub(now).Round(time.Second); {
	case d >= AuthSkew:
		return fmt.Sprintf(" (the server's clock is %v ahead of this machine's)", d)
	case d <= -AuthSkew:
		return fmt.Sprintf(" (the server's clock is %v behind this machine's)", -d)
	}
	return " (this machine's clock agrees with the Date header, which may come from a proxy in front of the server)"
}

// retryAfter reads Retry-After in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), 86400)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

func redirectTarget(h http.Header) string {
	target, _, _ := strings.Cut(h.Get("Location"), "?")
	if target == "" {
		return "nowhere"
	}
	return cleanText(target, 120)
}

func describeBody(b []byte) string {
	if len(b) == 0 {
		return "empty body"
	}
	if checkJSON(b) == nil {
		return "JSON"
	}
	return describePage(b)
}
