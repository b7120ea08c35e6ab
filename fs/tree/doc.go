// Package tree is the tree of a volume: how it is stored, how several writers
// change it without a lock or a server, and how their heads are joined. It is
// pure: no clock, no disk, no network. Nodes come from a Loader that answers
// from memory, and go to a Sink.
//
// What is stored is a state: for each identity its versions, each made under a
// dot (seq, writer). What people see is a view of it. The state of two heads
// together is their join, a function that mints nothing, so everybody gets the
// same from the same heads, in whatever order he meets them. Only changes mint:
// all changes of one commit share its dot, which is pending, above all others,
// until Flush gives it a number.
//
// The rules are few and each is needed; the tests of this package run them as a
// model against random histories, take rules away to see that this is noticed,
// and run the stored tree beside the model. Change a rule only with their help:
// SATCHEL_HISTORIES=40000 go test -run Histories ./fs/tree
//
// # State and join
//
// An entry is an identity's versions and two sets: its live links and its live
// data. A version has a dot; a kind; places (link, directory, name, stamp);
// attributes with a stamp; a datum (data dot, content, copy number), which a
// directory does not have; and a time of change with a stamp of its own. A link
// is numbered (dot, count) when it is made.
//
// Join, for the versions, the live links and the live data of each identity: an
// element that both sides have stays, one that one side has stays unless the
// other's vector covers its dot. An identity without versions is gone; there
// are no tombstones.
//
// # Change
//
//   - touch: a change replaces all versions by one, with what the view resolves.
//     Creating, writing, renaming and linking touch the directories above, too.
//   - delete: the entry goes; of several names only that place.
//   - settle: before a change to a name that has conflict copies these become
//     real. Each gets the name it was shown under. A second datum of one
//     identity moves to the identity that is the first 16 bytes of
//     BLAKE3(identity ‖ seq, 8 bytes big-endian ‖ writer), keeping its data dot,
//     and with (data dot, 0) for its link; neither is in the live sets, since
//     who has seen that dot, but not the settling, would take them for removed.
//     So two who settle the same copy make the same file. All files under a name
//     settle under all their names. Copies that would get another number because
//     a name goes settle before it goes.
//   - A write supersedes the datum that its file showed. If that is not shown any
//     more, what was written becomes a file beside it, with an identity of its own.
//   - Before a directory moves, directories above it that stand in the root
//     only because they lost their place get a place there: else they would follow.
//
// # View
//
// Attributes: the highest stamp. Places: the live links or, if none is live,
// those of the highest version, each at its highest stamp; a directory's one
// place is that of the highest stamp. Data: the live ones, else the highest. A
// directory whose parent is gone stands in the root, and so does, of a ring of
// directories, the one with the highest place stamp, and a file of which no
// place's directory is left.
//
// Directories of one name are shown as one, under the lowest identity; new
// entries go there, rename and removal act on all. Files of one name, and
// several data of one identity: equal content shows once; otherwise the highest
// data dot keeps the name, unless a directory has it, and the others are shown
// as "report (conflict from bob.id, 2026-11-22 14.03).pdf", with " 2", " 3" …
// behind the bracket where that is taken, given in order of data dots after all
// real names. Content is known to be equal if it is inline, or if it has no
// index nodes and its refs open to the same segments.
//
// # What may surprise
//
// The result is the same everywhere, and nothing is lost, but:
//
//  1. Any change that a delete has not seen beats it, not only an edit: chmod,
//     rename, a file made inside. What survives stands where that change knew it.
//  2. Of two renames at once the higher stamp wins.
//  3. Of directories that are moved into each other one turns up in the root.
//  4. Saving by "write temporary, rename over" makes a new identity: against a
//     rename of the old one at the same time both stay.
//  5. If one side settles a copy while its author writes on, the superseded
//     bytes stay as a file. A copy that is deleted on one side and settled on
//     the other comes back once.
//  6. Hard links: one name removed while the file is edited: that name stays
//     gone. All names removed: all come back. A file is moved to another volume
//     only together with all its names.
//  7. Two directories made under one name stay two identities behind one name: a
//     rename by somebody who knows one takes only what is in that one.
//  8. Attributes are one group: the last to change any of them wins.
//  9. A member can delete what it never saw, by claiming a vector. Members may
//     delete anyway; history restores.
//  10. A chmod does not touch the directories above: if they are removed at the
//     same time, the file turns up in the root.
//  11. A removal shows in its directory's time of change only until the tree is
//     loaded again, since it does not touch the directory.
//
// # Stored tree
//
// A node is at most 1 MiB: one byte for what it is, then an object in the one
// encoding of crypto/canon. Keys are written as [n].
//
//	1 root        a page with exactly one entry, the root's: identity zero
//	2 page        entries of one directory, or of the table of hard links
//	3 index       of a directory's pages or indexes
//	4 file index  of a file's chunks or indexes
//
// An entry stands in the directory where the view has it, in the page that is
// found by the first bits of BLAKE3(name). One with several places, shown or not,
// stands in the table of hard links instead, in the page that is found by the
// first bits of BLAKE3(identity), and each directory in which the view has it
// holds a stub: name and identity, where the entry would be. So what a file is
// stands once, a change of it writes one page, and who lists a directory reads
// those pages of the table to which its stubs belong.
//
//	page     {[1] writers: 16 bytes each, ascending, those that occur
//	          [2] packs: [owner, id], ascending, those that occur; id is empty for
//	              the pack in which this node is, whose owner must be the same
//	          [3] entries, by name, then identity; in the table by identity
//	          [4] stubs [name, identity], by name, then identity; none in the table
//	          [5] ways [directory, the one in which it stands], by directory, of the
//	              directories that the places here name and of those above them; at
//	              most 4,096, in the table only}
//	entry    {[1] identity, 16 bytes
//	          [2] versions, by dot; at most 1,024
//	          [3] links [writer, seq, count] that are in a version and not live
//	          [4] data dots that are in a version and not live
//	          [5] of a directory that is not empty: ref of its page or index
//	          [6] digest of that
//	          [7] of the root, if there are hard links: ref of the table's page or index
//	          [8] digest of that
//	          [9] in the table: the directories of its places that are gone, ascending}
//	version  {[1] dot [2] kind (0 file, 1 directory, 2 symlink, 3 fifo, 4 socket,
//	              5 character, 6 block device)
//	          [3] places, by link; at most 16,384  [4] mode, 07777  [5] uid  [6] gid
//	          [7] atime  [8] ctime  [9] btime, ns since 1970 UTC
//	          [10] xattrs [name, value], by name, 64 KiB at most
//	          [11] stamp of 4 to 10  [12] datum  [13] mtime  [14] its stamp}
//	place    {[1] dot of the link [2] its count [3] directory [4] name [5] stamp}
//	datum    {[1] dot [2] inline bytes [3] size [4] refs [5] level [6] copy number}
//	dot      [number of the writer in the table, seq]
//	ref      [number of the pack in the table, offset, length, hash, key];
//	         all zero and empty for a hole
//	index    {[1] how many indexes are below [2] packs
//	          [3] children [bits, prefix, ref, digest], by prefix; at most 512}
//	file     {[1] how many index levels, this one included [2] packs [3] refs}
//
// What is zero or empty is left out. Dots and stamps that equal the version's
// dot are left out, as is the directory of a place when it is the one in which
// the entry stands. Keys from 128 on of a version are kept; elsewhere they are
// dropped, and do not count for a digest. In the table every place states its
// directory.
//
// A way tells where a directory stood when the page was written. It may have
// moved since, so ways are only where a search for a directory begins, which is
// needed since a change of a file must see all its names: copies settle under
// all of them, and with the last but one of its names the entry goes back to the
// directory of the other.
//
// Content: up to 256 bytes stand in the datum [2], of a symlink up to 4,095, and
// then there is no size; an empty file has neither. Else there is the size, and
// refs: chunk i is bytes i MiB to (i+1) MiB. Up to two refs are in the datum, at
// the lowest level at which two are enough: a ref of level n stands for 1,024^n
// chunks. Holes at the end of a list of refs are left out.
//
// Pages: an entry weighs, for each version, 256 and the bytes of its names,
// xattrs and inline content, and 64 for each place but the first; a stub 64 and those of its name. A page holds all names whose hashes begin with its
// bits. It is split by the next bit if it weighs more than 128 KiB and has more
// than one name; two siblings that needn't be split are one. Empty pages are not
// written. So the pages follow from what is in the directory. Of more than one
// page there is an index; of more than 512 the list of pages is split by bits
// until each part has at most 512, each part is an index node, and over these is
// the next index.
//
// Digests: of a page or root, BLAKE3("satchel page v1" ‖ its node without packs
// and ways, without keys 5 and 7 of entries and with nothing but key 1 in data);
// of an index,
// BLAKE3("satchel index v1" ‖ level, 1 byte ‖ for each child: bits, 1 byte;
// prefix, 8 bytes big-endian, its bits to the left; digest). Equal digest is
// equal state, whoever wrote it and wherever. Digests are checked when a node
// is read.
//
// # Joining stored trees
//
// Join walks both trees where digests differ, gathers the identities that do,
// joins each and puts it where the view has it. It reads nothing of equal
// directories, and nothing at all of what isn't in memory if the other head has
// merged all that is here. A page that is then equal to one that either side has
// stored keeps its ref. The tables are compared like directories. Of what differs
// in a directory and is a stub, the page of the table is read, unless that is the
// same on both sides and in memory.
package tree
