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
// What the library doesn't know (READDIRPLUS, RENAME2) is reached by reflection,
// in door.go alone; without it the kernel uses the older requests.
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
// # What may surprise
//
//   - inotify reports what others removed, but not what they created or changed.
//     Look again, or poll.
//   - The kernel's writeback cache is off, so that it never hides a remote
//     change behind a size or time of its own. Each write(2) is a request; programs
//     that write few bytes at a time are slow, as on NFS with sync.
//   - A written page of a shared mapping arrives when the kernel writes it back:
//     at msync, munmap, fsync or unmount, or some seconds later.
//   - flock and POSIX locks hold between programs of this machine only.
//   - Hard links can't be made (EPERM). link(2)'s usual callers then copy.
//   - Without another option only the mounting user may enter the mount, not even
//     root. Modes are enforced by the kernel; setuid bits and devices have no effect.
//   - fallocate(2), SEEK_HOLE and reflinks are refused or emulated; programs fall
//     back by themselves.
//   - After kill -9 of the process that serves a mount, its folder says "transport
//     endpoint is not connected" until it is mounted again or Unmount is called.
package fs
