package fs

import (
	"sync"
	"testing"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

func add(t *table, n *drive.Node) fuse.NodeID {
	f := t.start()
	defer t.end(f)
	return t.add(f, n)
}

func TestTableCountsLookups(t *testing.T) {
	root, a, b := &drive.Node{}, &drive.Node{}, &drive.Node{}
	nodes := newTable(root)
	if got := nodes.node(fuse.RootID); got != root {
		t.Fatalf("root: got %p, want %p", got, root)
	}
	ida := add(nodes, a)
	if again := add(nodes, a); again != ida {
		t.Fatalf("one node has numbers %d and %d", ida, again)
	}
	idb := add(nodes, b)
	if ida == idb || ida == fuse.RootID || idb == fuse.RootID {
		t.Fatalf("numbers %d and %d", ida, idb)
	}
	nodes.forget(ida, 1)
	if nodes.node(ida) != a || nodes.id(a) != ida {
		t.Fatal("forgotten after one of two")
	}
	nodes.forget(ida, 1)
	if nodes.node(ida) != nil || nodes.id(a) != 0 {
		t.Fatal("known after two of two")
	}
	if id := add(nodes, a); id == ida {
		t.Fatal("a number was given twice")
	}
	nodes.forget(fuse.RootID, 1)
	if nodes.node(fuse.RootID) != root {
		t.Fatal("the root was forgotten")
	}
	nodes.clear()
	if len(nodes.byID) != 1 || len(nodes.ids) != 1 {
		t.Fatalf("after clear: %d numbers, %d nodes", len(nodes.byID), len(nodes.ids))
	}
}

func TestTableRefusesWhatWasForgottenMeanwhile(t *testing.T) {
	nodes := newTable(&drive.Node{})
	n, other := &drive.Node{}, &drive.Node{}
	id := add(nodes, n)
	f := nodes.start()
	nodes.forget(id, 1)
	if got := nodes.add(f, n); got != 0 {
		t.Fatalf("counted as %d a node that the drive forgot", got)
	}
	if nodes.add(f, other) == 0 {
		t.Fatal("another node was refused")
	}
	nodes.end(f)
	if add(nodes, n) == 0 {
		t.Fatal("refused although the drive was asked again")
	}
	if len(nodes.finds) != 0 {
		t.Fatalf("%d finds are left", len(nodes.finds))
	}
}

func TestTableInParallel(t *testing.T) {
	nodes := newTable(&drive.Node{})
	list := [4]*drive.Node{{}, {}, {}, {}}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				n := list[(g+i)%len(list)]
				id := add(nodes, n)
				if id == 0 {
					continue
				}
				if got := nodes.node(id); got != n {
					t.Errorf("number %d: got %p, want %p", id, got, n)
					return
				}
				nodes.forget(id, 1)
			}
		})
	}
	wg.Wait()
	if len(nodes.byID) != 1 {
		t.Errorf("%d nodes are left", len(nodes.byID)-1)
	}
}
