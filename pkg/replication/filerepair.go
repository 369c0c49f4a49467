package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// fileRepair restores the damaged files that a check found, under the lease.
type fileRepair struct {
	fileCheck
}

// locateDamaged finds all versions on the replica that need the damaged files. A
// file that none needs any more is no difference.
func (fr *fileRepair) locateDamaged() error {
	if len(fr.found.damaged) == 0 {
		return nil
	}
	refs := fr.ledger.withFiles()
	for _, k := range object.Kinds() {
		if !k.HasFiles() {
			continue
		}
		listed, err := fr.Target.List(fr.guard.hard, object.Scope{Kind: k})
		switch {
		case err == nil:
			refs = append(refs, listed...)
		case fault.ClassOf(err) != fault.Unserved:
			return err
		}
	}
	slices.SortFunc(refs, object.Compare)
	refs = slices.Compact(refs)
	need, err := fr.versionsOf(refs, fr.found.damaged)
	if err != nil {
		return err
	}
	for i, f := range fr.found.damaged {
		fr.found.damaged[i].versions = need[f.Checksum]
	}
	fr.found.damaged = slices.DeleteFunc(fr.found.damaged, func(f damagedFile) bool { return len(f.versions) == 0 })
	return nil
}

// versionsOf reads versions on the replica and says which of them name the files.
func (fr *fileRepair) versionsOf(refs []object.Ref, files []damagedFile) (map[string][]object.Ref, error) {
	need := make(map[string][]object.Ref, len(files))
	for _, f := range files {
		need[f.Checksum] = nil
	}
	var mu sync.Mutex
	err := fr.guard.forEach(len(refs), fr.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
		obj, err := fr.Target.Get(ctx, refs[i])
		if fault.IsAbsent(err) {
			return nil
		}
		if err != nil {
			_, fatal := fr.errs.classifyError(ctx, fr.Target, "replica", err)
			return fatal // one that can't be read doesn't keep the others from being repaired
		}
		mu.Lock()
		defer mu.Unlock()
		for _, f := range obj.Files {
			if list, damaged := need[f.Checksum]; damaged {
				need[f.Checksum] = append(list, refs[i])
			}
		}
		return nil
	})
	for _, list := range need {
		slices.SortFunc(list, object.Compare)
	}
	return need, err
}

// repairFiles brings damaged files to the replica again: by an upload where the
// server takes it, else by deleting and creating again all versions that name them.
func (fr *fileRepair) repairFiles() error {
	var refused []int // indexes of the files that the server assumes to have
	for i := range fr.found.damaged {
		if err := fr.guard.stopError(); err != nil {
			return err
		}
		taken, err := fr.uploadAgain(&fr.found.damaged[i])
		if err != nil {
			return err
		}
		if !taken && fr.found.damaged[i].why == "" {
			refused = append(refused, i)
		}
	}
	for _, group := range fr.groupBySharedFiles(refused) {
		if err := fr.guard.stopError(); err != nil {
			return err
		}
		if err := fr.recreateVersions(group); err != nil {
			return err
		}
	}
	return fr.dropRepaired()
}

// uploadAgain sends the content of one file to the replica.
func (fr *fileRepair) uploadAgain(f *damagedFile) (taken bool, err error) {
	ctx := fr.guard.hard
	obj, err := fr.holderOnPrimary(ctx, f)
	if err != nil || f.why != "" {
		return false, err
	}
	taken, err = fr.Target.Reupload(ctx, f.File, fr.files.contentOf(obj))
	if err != nil {
		objErr, fatal := fr.errs.classifyError(ctx, fr.Target, "replica", err)
		if fatal != nil {
			return false, fatal
		}
		f.why = objErr.Error()
	}
	return taken, nil
}

// holderOnPrimary finds a version on the primary that has the file.
func (fr *fileRepair) holderOnPrimary(ctx context.Context, f *damagedFile) (object.Object, error) {
	for _, ref := range f.versions {
		obj, err := fr.Source.Get(ctx, ref)
		if fault.IsAbsent(err) {
			continue
		}
		if err != nil {
			objErr, fatal := fr.errs.classifyError(ctx, fr.Source, "primary", err)
			if fatal != nil {
				return object.Object{}, fatal
			}
			f.why = objErr.Error()
			continue
		}
		if slices.ContainsFunc(obj.Files, func(x object.File) bool { return x.Checksum == f.Checksum }) {
			f.why = ""
			return obj, nil
		}
	}
	if f.why == "" {
		f.why = "no version on the primary has this content any more"
	}
	return object.Object{}, nil
}

// recreation is a set of versions that have to be deleted together: as long as one
// of them names a file, the server assumes to have it.
type recreation struct {
	files []int // of the damaged ones
	refs  []object.Ref
}

// groupBySharedFiles puts versions together that need the same files.
func (fr *fileRepair) groupBySharedFiles(files []int) (groups []recreation) {
	parent := map[object.Ref]object.Ref{}
	root := func(r object.Ref) object.Ref {
		for parent[r] != r {
			parent[r] = parent[parent[r]]
			r = parent[r]
		}
		return r
	}
	for _, i := range files {
		versions := fr.found.damaged[i].versions
		for _, r := range versions {
			if _, known := parent[r]; !known {
				parent[r] = r
			}
			parent[root(r)] = root(versions[0])
		}
	}
	at := map[object.Ref]int{}
	for _, r := range slices.SortedFunc(maps.Keys(parent), object.Compare) {
		n, known := at[root(r)]
		if !known {
			n = len(groups)
			at[root(r)] = n
			groups = append(groups, recreation{})
		}
		groups[n].refs = append(groups[n].refs, r)
	}
	for _, i := range files {
		n := at[root(fr.found.damaged[i].versions[0])]
		groups[n].files = append(groups[n].files, i)
	}
	return groups
}

// mostRecreated bounds the versions that are deleted together: their names are kept
// in the record until they are there again.
const mostRecreated = 1000

// recreateVersions deletes versions one after the other, and creates them again one after
// the other. Everything is read and staged before the first is deleted. They are
// recorded as possibly written: a process that dies leaves them to the next pass.
func (fr *fileRepair) recreateVersions(g recreation) error {
	objs, why, err := fr.prepareVersions(g)
	if err != nil {
		return err
	}
	if why != "" {
		fr.recordUnrepaired(g, why)
		return nil
	}
	fr.Log.Warn("cookbook versions are deleted on the replica and created again, to restore their files", "pair", fr.Pair.ID.String(), "run", fr.rec.run.ID,
		"versions", len(g.refs), "files", len(g.files), "objects", namesOf(g.refs))
	if err := fr.writer.backups.keepReplaced(toReplace(objs)); err != nil {
		return err
	}
	fr.rec.progress.Work = &Work{Reason: "restoring damaged files", Started: fr.rec.run.Started, Intent: slices.Clone(g.refs), Wrote: true}
	if err := fr.rec.commit(fr.guard.hard); err != nil {
		return err
	}
	var deleted []object.Ref
	for _, ref := range slices.Backward(g.refs) {
		objErr, fatal := fr.writer.deleteOne(fr.guard.hard, ref)
		if fatal != nil {
			return fatal
		}
		if objErr != nil {
			fr.recordUnrepaired(g, objErr.Error())
			break
		}
		deleted = append(deleted, ref)
	}
	for _, obj := range objs {
		step := Decision{Action: ActionUpdate, Ref: obj.Ref, Reason: "its files were damaged on the replica"}
		if slices.Contains(deleted, obj.Ref) {
			step.Action = ActionCreate
		}
		r, err := fr.writer.putObject(fr.guard.hard, observedObject{Observation: Observation{Ref: obj.Ref}, obj: obj}, step.Action == ActionCreate)
		if err != nil {
			return err
		}
		fr.writer.recordWrite(step, r)
	}
	fr.rec.progress.Work = nil
	return fr.rec.commit(fr.guard.hard)
}

// toReplace returns versions that are about to be created again as decided objects.
func toReplace(objs []object.Object) []decidedObject {
	list := make([]decidedObject, len(objs))
	for i, obj := range objs {
		list[i] = decidedObject{observedObject: observedObject{Observation: Observation{Ref: obj.Ref}, obj: obj}, Decision: Decision{Ref: obj.Ref}}
	}
	return list
}

// prepareVersions reads the versions on the primary and stages all their files. It says why
// they can't be created again, if so: nothing is deleted then.
func (fr *fileRepair) prepareVersions(g recreation) (objs []object.Object, why string, err error) {
	if len(g.refs) > mostRecreated {
		return nil, fmt.Sprintf("%d versions would have to be deleted and created again at once; delete some of them on the replica", len(g.refs)), nil
	}
	held := 0
	for _, ref := range g.refs {
		if !fr.ledger.isReplicated(ref) || !fr.Pair.Manages(ref) {
			return nil, ref.Path() + " needs it too, and replication did not put that on the replica: upload it to the replica again", nil
		}
		obj, err := fr.Source.Get(fr.guard.hard, ref)
		for i := 0; err == nil && i < len(obj.Files); i++ {
			err = fr.stageFile(obj, obj.Files[i])
		}
		if fault.IsAbsent(err) || errors.Is(err, errChanged) {
			return nil, ref.Path() + " changed or is gone on the primary; the next pass goes first", nil
		}
		if err != nil {
			objErr, fatal := fr.errs.classifyError(fr.guard.hard, fr.Source, "primary", err)
			if fatal != nil {
				return nil, "", fatal
			}
			return nil, objErr.Error(), nil
		}
		if held += len(obj.Body); held > fr.Tuning.WindowBytes {
			obj.Body, obj.Files = nil, nil // read again when it is written
		}
		objs = append(objs, obj)
	}
	return objs, "", nil
}

// stageFile makes sure that the stage has a file. One that it has no room for could
// be out of reach once the versions are deleted.
func (fr *fileRepair) stageFile(obj object.Object, f object.File) error {
	if err := fr.guard.stopError(); err != nil {
		return err
	}
	var full error
	s := fr.files.stagedFiles(obj)
	s.full = func(_ object.File, err error) { full = err }
	content, _, err := s.Open(fr.guard.hard, f)
	if err != nil {
		return err
	}
	if err := content.Close(); err != nil {
		return err
	}
	if full != nil {
		return &fault.Error{Op: "stage a file of", Object: obj.Ref, Class: fault.Rejected, Hint: "give the stage more room", Err: full}
	}
	return nil
}

// recordUnrepaired says of the files of a group why they weren't repaired.
func (fr *fileRepair) recordUnrepaired(g recreation, why string) {
	for _, i := range g.files {
		fr.found.damaged[i].why = why
	}
}

// dropRepaired downloads the files again and moves those that are whole to the
// repaired ones.
func (fr *fileRepair) dropRepaired() error {
	var left []damagedFile
	for _, f := range fr.found.damaged {
		if f.why != "" {
			left = append(left, f)
			continue
		}
		obj, err := fr.Target.Get(fr.guard.hard, f.versions[0])
		problem := ""
		if err == nil {
			problem, err = fr.checkFile(fr.guard.hard, obj, f.File)
		}
		switch {
		case err != nil:
			f.why = err.Error()
		case problem != "":
			f.why = "it is still damaged after it was uploaded again"
		default:
			fr.found.repaired = append(fr.found.repaired, f.toDifference())
			continue
		}
		left = append(left, f)
	}
	fr.found.damaged = left
	return nil
}

// differences returns the damaged files that weren't repaired.
func (s *fileScan) differences() (list []Difference) {
	for _, f := range s.damaged {
		list = append(list, f.toDifference())
	}
	return list
}

func (f damagedFile) toDifference() Difference {
	note := "its file " + f.Path + " " + f.problem
	if n := len(f.versions) - 1; n == 1 {
		note += "; 1 other version needs it too"
	} else if n > 1 {
		note += fmt.Sprintf("; %d other versions need it too", n)
	}
	if f.why != "" {
		note += "; could not be repaired: " + f.why
	}
	return Difference{Ref: f.versions[0], Letter: "M", Cause: CauseDamaged, Note: note, Versions: f.versions}
}

// namesOf lists objects for the log.
func namesOf(refs []object.Ref) string {
	names := make([]string, 0, len(refs))
	for _, r := range refs[:min(len(refs), 20)] {
		names = append(names, r.Path())
	}
	if n := len(refs) - 20; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, " ")
}
