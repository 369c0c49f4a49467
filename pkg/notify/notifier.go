package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Channel is a way to tell an operator.
type Channel struct {
	// Name identifies the channel in the state and in logs. It contains no secret.
	Name string
	// Send delivers a message. It bounds its own time.
	Send func(ctx context.Context, m Message) error
}

// Notifier tells what changes in a fleet. An evaluation that comes while another one is at
// the same state has no effect.
type Notifier struct {
	Store    Store
	Channels []Channel
	Rules    Rules
	Instance string // the host of the daemon, or the name of the stack
	Now      func() time.Time
	Log      *slog.Logger
}

// How long to wait after attempts to deliver a message that failed.
const (
	firstBackoff = time.Minute
	maxBackoff   = 15 * time.Minute
)

func backoff(failures int) time.Duration {
	return min(firstBackoff<<min(failures-1, 10), maxBackoff)
}

// waits reports whether a channel waits after a failure. A time that is too far away is of
// a clock that was ahead.
func (c ChannelState) waits(now time.Time) bool {
	wait := c.NextTry.Sub(now)
	return wait > 0 && wait <= maxBackoff
}

// Evaluate records what is new in a fleet, and delivers what is due to each channel. A
// message that can't be delivered waits for a later evaluation. The error is of the
// store.
func (n *Notifier) Evaluate(ctx context.Context, f Fleet) error {
	state, version, err := n.Store.LoadNotified(ctx)
	if err != nil {
		return err
	}
	v := f.view()
	v.coverUnknown(state)
	d := &delivery{Notifier: n, view: v, memory: state.open(), version: version}
	if d.observe(v, n.Now(), n.Rules) {
		err = d.save(ctx)
	}
	for _, c := range n.Channels {
		if err == nil {
			err = d.deliver(ctx, c)
		}
	}
	if errors.Is(err, ErrConflict) {
		n.Log.Debug("another process sends the notifications")
		return nil
	}
	return err
}

// delivery is the delivery of messages in one evaluation.
type delivery struct {
	*Notifier
	*memory
	view    *view
	version string
}

func (d *delivery) save(ctx context.Context) (err error) {
	d.version, err = d.Store.SaveNotified(ctx, d.state(), d.version)
	return err
}

// deliver sends a channel all that is due, until an attempt fails. The attempt is recorded
// before it is made: one that kills the process, or that another process makes too, is
// repeated late and not at once.
func (d *delivery) deliver(ctx context.Context, c Channel) error {
	for ctx.Err() == nil {
		m := d.next(c.Name, d.view)
		state := d.channels[c.Name]
		if m == nil || state.waits(d.Now()) {
			return nil
		}
		m.complete(d.Instance, d.Now(), d.conditions)
		state.Name, state.Failures = c.Name, state.Failures+1
		state.NextTry = d.Now().Add(backoff(state.Failures))
		d.channels[c.Name] = state
		d.record(m, func(h *history) { h.attempt(c.Name) })
		if err := d.save(ctx); err != nil {
			return err
		}
		log := d.Log.With("channel", c.Name, "event", string(m.Event), "state", m.State, "message", m.Title)
		err := c.Send(ctx, *m)
		switch {
		case err != nil && ctx.Err() != nil: // it ends
			return nil
		case err != nil:
			log.Warn("the notification can't be delivered", "error", err.Error(), "attempts", state.Failures, "next_try", state.NextTry.UTC())
			return nil
		}
		log.Info("notification delivered")
		delete(d.channels, c.Name)
		d.record(m, func(h *history) { h.tell(c.Name) })
		if err := d.save(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// record changes the histories of the conditions of a message.
func (d *delivery) record(m *Message, change func(*history)) {
	for _, c := range m.conditions {
		h := d.conditions[c]
		change(&h)
		if d.conditions[c] = h; h.isEmpty() {
			delete(d.conditions, c)
		}
	}
}
