// Package send delivers notifications to webhooks and programs. Its errors name a URL by
// scheme and host only: the rest may be a secret.
package send

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chefsync/pkg/notify"
)

// Resolve returns a URL when it is needed: where it is kept, it may have changed.
type Resolve func(context.Context) (*url.URL, error)

// requestTimeout bounds a request. Other channels wait for it.
const requestTimeout = 10 * time.Second

// NewClient returns the HTTP client for deliveries. It doesn't follow redirects: a message
// would be sent to where nobody configured it.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// JSON returns a channel's Send that posts each message as JSON.
func JSON(client *http.Client, resolve Resolve) func(context.Context, notify.Message) error {
	return func(ctx context.Context, m notify.Message) error { return post(ctx, client, resolve, m) }
}

// Slack returns a channel's Send that posts each message as Slack and compatible programs
// take it.
func Slack(client *http.Client, resolve Resolve) func(context.Context, notify.Message) error {
	return func(ctx context.Context, m notify.Message) error {
		return post(ctx, client, resolve, newSlackMessage(m))
	}
}

// slackMessage is the body of a request to an incoming webhook of Slack.
type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments,omitempty"`
}

type slackAttachment struct {
	Color    string `json:"color"`
	Fallback string `json:"fallback"`
	Text     string `json:"text"`
}

// maxSlackText is how many bytes of a message are shown.
const maxSlackText = 3000

func newSlackMessage(m notify.Message) slackMessage {
	color := "danger"
	if m.State == notify.StateResolved {
		color = "good"
	}
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	out := slackMessage{Text: fmt.Sprintf("*%s* (%s on %s)", escape(m.Title), m.Source, escape(m.Instance))}
	if text := m.Text; text != "" {
		if len(text) > maxSlackText {
			text = strings.ToValidUTF8(text[:maxSlackText], "") + "…"
		}
		out.Attachments = []slackAttachment{{Color: color, Fallback: escape(m.Title), Text: escape(text)}}
	}
	return out
}

func post(ctx context.Context, client *http.Client, resolve Resolve, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return do(ctx, client, http.MethodPost, resolve, body)
}

// Ping requests a URL.
func Ping(ctx context.Context, client *http.Client, resolve Resolve) error {
	return do(ctx, client, http.MethodGet, resolve, nil)
}

func do(ctx context.Context, client *http.Client, method string, resolve Resolve, body []byte) error {
	u, err := resolve(ctx)
	if err != nil {
		return err
	}
	safe := method + " " + u.Scheme + "://" + u.Host
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: the URL can't be used", safe)
	}
	req.Header.Set("User-Agent", "chef-sync")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", safe, withoutURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode < 400:
		return fmt.Errorf("%s: it redirects (%d): configure the URL that it redirects to", safe, resp.StatusCode)
	}
	return fmt.Errorf("%s: status %d %s", safe, resp.StatusCode, http.StatusText(resp.StatusCode)) // the body may repeat the URL
}

// withoutURL returns the cause of an error of an HTTP client, which names the URL.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
