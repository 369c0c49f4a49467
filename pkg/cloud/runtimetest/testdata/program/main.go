// Program is a function whose events say what it does.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	// A request to the function's URL.
	RequestContext *json.RawMessage `json:"requestContext"`
}

func main() {
	fmt.Println("the program starts")
	if os.Getenv("FAIL") != "" {
		log.Fatal("no configuration")
	}
	p := &program{}
	lambda.Start(p.handle)
}

// program is the state of an environment.
type program struct {
	count int
	last  time.Time     // the last tick of the background goroutine
	worst time.Duration // the longest time between two ticks
	asks  chan chan time.Duration
}

func (p *program) handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	if e.RequestContext != nil {
		return respond(raw)
	}
	p.count++
	switch e.Do {
	case "echo":
		fmt.Print("without a newline")
		return e.Text, nil
	case "count":
		return p.count, nil
	case "context":
		deadline, _ := ctx.Deadline()
		lc, _ := lambdacontext.FromContext(ctx)
		return map[string]any{"left": time.Until(deadline).Seconds(), "id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn}, nil
	case "environ":
		return os.Environ(), nil
	case "error":
		return nil, fmt.Errorf("%s: %w", e.Text, errors.New("not today"))
	case "panic":
		panic(e.Text)
	case "exit":
		os.Exit(3)
	case "hang":
		fmt.Println("hanging")
		select {}
	case "burn":
		for block := make([]byte, 1<<20); block[0] < 100; block[0]++ { // work, not time: others may use the processor too
			sha256.Sum256(block)
		}
	case "background":
		p.startTicker()
	case "pause":
		longest := make(chan time.Duration)
		p.asks <- longest
		return (<-longest).Milliseconds(), nil
	}
	return nil, nil
}

// startTicker starts a goroutine that measures for how long it doesn't run.
func (p *program) startTicker() {
	p.asks = make(chan chan time.Duration)
	p.last = time.Now()
	go func() {
		tick := time.NewTicker(time.Millisecond)
		for {
			select {
			case <-tick.C:
				p.worst = max(p.worst, time.Since(p.last))
				p.last = time.Now()
			case longest := <-p.asks:
				longest <- max(p.worst, time.Since(p.last))
			}
		}
	}()
}

// respond responds to a request to the URL with the event.
func respond(raw json.RawMessage) (any, error) {
	var r events.LambdaFunctionURLRequest
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	switch r.RawPath {
	case "/binary":
		return events.LambdaFunctionURLResponse{StatusCode: 200, Headers: map[string]string{"content-type": "application/octet-stream"}, Body: "AP8B", IsBase64Encoded: true}, nil
	case "/fail":
		return nil, errors.New("no")
	}
	seen, err := json.Marshal(r)
	return events.LambdaFunctionURLResponse{StatusCode: 201, Headers: map[string]string{"x-seen": "yes"}, Body: string(seen)}, err
}
