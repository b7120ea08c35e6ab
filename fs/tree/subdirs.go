package tree

// Subdirs returns how many directories stand in a directory; none as long as it
// was not loaded.
func (t *Tree) Subdirs(id Identity) int {
	i, err := t.show(id)
	if err != nil || !i.dir {
		return 0
	}
	count := 0
	for _, n := range t.group(i.members[0].n) {
		count += n.sub.dirs
	}
	return count
}
