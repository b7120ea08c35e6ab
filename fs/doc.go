// Package fs mounts a drive: it turns the kernel's requests into calls on
// package drive, and errors into numbers. Nothing else knows FUSE.
//
// # Serving
//
// The package stands on the library's low-level connection. A few readers each
// take a request and answer it before they take the next, which spares the
// hand-over to another goroutine. When all of them are busy another one is
// started, up to a bound, so a request that waits for a network holds nobody
// up; readers that are too many leave. Handlers answer last: one that panics
// has not answered yet, and its caller gets EIO.
//
// A signal that is to end the caller (SIGKILL, SIGTERM, SIGINT, …) ends a request
// that waits; any other signal does not, since few programs expect that opening
// a file is interrupted. Reads through the kernel's page cache can't be ended; they
// end with the drive's own deadline.
//
// What the library doesn't know (READDIRPLUS, RENAME2, LSEEK, COPY_FILE_RANGE,
// TMPFILE, STATX) is reached by reflection, in door.go alone; without it the
// kernel uses the older requests, or programs do without.
//
// # Nodes and caches
//
// The kernel knows a drive.Node by a number that is never used again while the
// mount lasts, and keeps names and attributes for a minute, pages for as long as
// it likes: whatever changes through the mount it knows, and of what changed
// elsewhere the drive tells. These notes go out from one goroutine and a queue,
// never from a handler, since the kernel takes the folder's lock for them, which
// a waiting request may hold. The content of a node never changes from
// elsewhere: somebody else's new version is a new node with the same inode
// number, so who has the old one open or mapped keeps it, whole.
//
// Files that nobody has open or used lately are taken from the kernel again when it
// knows more than 100,000 nodes, since it forgets none of its own accord. Folders
// stay: one may be somebody's working directory.
//
// # Who may do what
//
// The kernel checks modes and owners, on a mount for one user as on one that others
// may enter, and it takes setuid and setgid bits away from what somebody without
// privileges writes to, or tells the drive to. Locks (flock, POSIX, OFD) are the
// kernel's too. A volume's own folder, of which nothing is stored, has a mode that
// chmod changes until the drive is unmounted.
//
// # Times
//
// A file's times are those that POSIX wants, but for reading, which changes none: a
// mount says noatime. A time of change that stands for a new name, a removed link or
// written data is kept while the kernel knows the file; later it is the time of the
// last change of attributes or data, whichever came last, so a file whose mtime was
// set to the future has a ctime in the future too. Times are from 1677 to 2262.
//
// # What the protocol excludes
//
// The library settles on version 7.33 with the kernel, and asks nothing that came
// later. Therefore, or since FUSE has no request for it:
//
//   - Access control lists: setfacl says "not supported". The kernel would have to
//     be asked to keep and check them (POSIX_ACL); modes then would show the mask,
//     which other machines, without it, would take for the group's rights.
//   - RENAME_WHITEOUT, which only overlay file systems use, is EINVAL.
//   - Reflinks (FICLONE, FICLONERANGE): the kernel sends no request. copy_file_range
//     shares whole chunks of a volume instead, which cp uses.
//   - fallocate knows keep-size, punch-hole and zero-range; collapse, insert and
//     unshare are refused by the kernel itself.
//   - syncfs and sync don't reach a server that is not a virtual machine's; fsync
//     does. What was written without it is safe some seconds later.
//   - FIEMAP, FIBMAP, quotas, file attributes of chattr, verity, fscrypt: there are no
//     blocks, and ioctls on files are refused (ENOTTY).
//   - Freezing (FIFREEZE), swap files, idmapped mounts, and exporting over NFS, for
//     which nodes would need numbers that outlive the kernel's interest in them.
//   - Device nodes can be made by root but not opened, and setuid bits give nothing,
//     as fusermount mounts with nodev and nosuid.
//   - The generation number of an inode, and a change counter (STATX_CHANGE_COOKIE).
//   - A folder's watch (inotify) says nothing of what others create or remove in it,
//     as the kernel reports neither; a watch of a file says that it was removed.
//   - RWF_ATOMIC, and O_DIRECT as more than a hint: bytes pass through the drive's
//     memory in any case.
//
// # What may surprise
//
//   - The kernel's writeback cache is off, so that it never hides a remote
//     change behind a size or time of its own. Each write(2) is a request; programs
//     that write few bytes at a time are slow, as on NFS with sync.
//   - A written page of a shared mapping arrives when the kernel writes it back:
//     at msync, munmap, fsync or unmount, or some seconds later.
//   - Locks hold between programs of this machine only.
//   - A file has 1,024 names at most, or fewer that are long (EMLINK then), all in one
//     volume. It moves to another volume with all its names, or is copied.
//   - How many folders are in a folder (its link count) is known once somebody looked
//     into it.
//   - Attributes by which a file tells about itself (user.satchel.*) are not listed, so
//     that nobody copies them; ask by name. Those of trusted and security are kept in
//     Private only: elsewhere others could plant them.
//   - Without another option only the mounting user may enter the mount, not even
//     root.
//   - After kill -9 of the process that serves a mount, its folder says "transport
//     endpoint is not connected" until it is mounted again or Unmount is called.
package fs
