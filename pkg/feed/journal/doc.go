// Package journal keeps a change feed for a primary that serves none. Each
// source organization has a journal: rows with contiguous ids, given in one
// atomic write, that name what changed. A scanner and a receiver of pushes fill
// it, pairs read it ([Feed]), and it can be served over HTTP as updated_since.
//
// A row is a hint, as those of updated_since are: it says where to look, never
// what is there. So a row too many costs a read, and a row too few would cost a
// change. All rules here follow from that.
//
// A journal has an epoch, a random word made with it. A journal that was lost
// and made anew has another one, by which readers notice. It begins with a row
// of its own, [Begin], and retention never drops the newest row: so a reader
// always holds the id of a real row, and can always tell whether the rows after
// it are still there. Ids begin at the time of the beginning, in milliseconds
// since 1970: ids of a journal made anew lie above those of the old one, which
// helps clients of updated_since that know of no epochs.
package journal
