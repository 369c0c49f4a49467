// Package schedule keeps one EventBridge Scheduler schedule for each pair and
// for each source of the journal, in the schedule group of a stack. [Desired] says
// which schedules a configuration needs; a [Group] makes the real ones follow.
// [Tick] fires schedules where nothing else does: emulators know them, but most
// never fire them.
//
// # What a schedule is worth
//
// Schedules are no truth. A schedule that fires for a pair that is stopped, or
// twice, does no harm: the state of the pair says what may be done, and its
// lease that it is done once. So two reconcilers may race, and a stop may race
// with a reconcile that knows nothing of it yet; the next reconcile mends what
// came of it.
//
// # What EventBridge Scheduler does
//
// Delivery is at least once, with a precision of 60 seconds. A rate without a
// start date counts from when the schedule was made; a start date must not lie
// more than five minutes back, so a schedule that has one can't be put back as it
// was. That is why pairs are spread by a flexible window of a minute and not by
// start dates: on each round the service chooses a moment in the window.
//
// ListSchedules answers at most 100 schedules a page, with name, state, target
// and the time of the last modification of each, and nothing more: neither
// expression nor input nor description. What is behind a name is known by
// GetSchedule only; [Seen] makes that call needless for what hasn't been modified
// since. UpdateSchedule replaces everything: what isn't sent is reset.
//
// Each call has a quota by region that all of an account share. That of
// CreateSchedule is 250 a second in small regions, if it wasn't raised, and more
// in large ones.
package schedule
