// Package changelog keeps a change feed for a primary that serves none. Each source
// organization has a change log: rows that name what changed, with contiguous ids that
// are assigned in one atomic write. A scanner and a receiver of pushes write it,
// pairs read it ([Feed]), and it can be served over HTTP as updated_since.
//
// A row is a hint, as those of updated_since are: it names an object, but doesn't
// contain it. An unnecessary row costs a read; a missing row would lose a change.
//
// A change log has an epoch, a random identifier. A change log that was lost and created
// again has a different epoch, by which readers notice it. A change log begins with a
// [Begin] row, and retention never drops the newest row. So a reader always has the
// id of a row that existed, and can always determine whether the rows after it still
// exist. Ids start at the time at which the change log begins, in milliseconds since
// 1970, so that the ids of a new change log are above those of the previous one: clients
// of updated_since know no epochs.
package changelog
