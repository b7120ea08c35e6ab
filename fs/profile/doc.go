// Package profile is what the signed mutable objects of a name say: its
// profile, the heads of its volumes and the pulses of its devices. It knows who
// may sign them, where they are found, what is pinned about them and which of
// a head's claims count.
//
// # Authority
//
// The chain binds a name to an owner and to the hash of a zone file; the zone
// file gives the data key; the data key signs the profile; the profile lists
// the devices; a device's key signs heads and pulses. OpenProfile, OpenHead and
// OpenPulse check an envelope in this order: size, format, kind, network, name,
// device and locator; the key's authority; the signature; the hash of the body;
// the sequence number against the pinned one. Only then is a byte of the body
// decrypted or decoded. The device in a profile's header can't be known
// beforehand; it must be the keeper that the body names.
//
// # Bodies
//
// All are canonical CBOR (satchel/crypto/canon): maps with the keys below.
// Keys from 128 on are kept and passed over.
//
// Profile, signed, not sealed:
//
//	1 keeper, device id
//	2 providers: [{1 read URL, 2 priority, 3 weight}], at least one
//	3 copies   4 quorum
//	5 user keys: [{1 generation, 2 KEM, 3 sealing key, 4 pair key,
//	  5 the user secret before it}], oldest first; the first one has no 5
//	6 recovery: {1 sealing key, 2 the newest user secret}
//	7 devices: [{1 id, 2 signing key, 3 sealing key, 4 label,
//	  5 the newest user secret}], by id
//	8 ids of removed devices, ascending
//	9 notification addresses
//
// Generations count from 1. A KEM other than crypto.KEM is for later: its keys
// are kept and nothing can be sealed to them by this code. Labels and secrets
// are sealed by HPKE (crypto.SealTo): the newest secret to each device and to
// the recovery key, each older one to the user key that follows it, a label to
// the newest user key. The info is "satchel user secret v1" or "satchel device
// label v1", then, each with its length in 4 big-endian bytes: network, name,
// generation (8 bytes; of the secret, or of the key that a label is sealed to)
// and device id (empty for the recovery key and for an older secret). A label
// is filled with zero bytes to 64. What is opened must give the listed user
// keys, so a keeper can't hand a device the secret of another name.
//
// Head: signed as it is in public volumes, else sealed (crypto.SealBody) to the
// newest user key of each member, the writer's name among them:
//
//	1 version vector: [[device, name, seq, hash of head]], by device
//	2 profiles known of members: [[name, seq, hash]], by name
//	3 root: [owner, pack, offset, length, hash, key], full; absent if there is
//	  nothing in the volume
//	4 digest of the root
//	5 group secrets told: [[names, generation, secret]], by names, then generation
//
// A head's seq is 1 + the highest in its vector, in which its writer's last head
// stands too.
//
// Pulse, signed, not sealed:
//
//	1 seq of the profile it knows of its own name   2 hash of that profile
//	3 pairs of tags: 32 bytes each, 16 "here", 16 "head", ascending; 8, 16 … 1,024 pairs
//
// A device with more than 1,024 volumes leaves out those that changed longest
// ago; readers who find no tag of a volume ask for its head.
//
// # Locators and group secrets
//
// See Finder. A volume's members are the same list for everybody, so Volume.Key
// is as well. The secret that a name uses for a group is made by HKDF-SHA256
// from the name's user secret ("satchel group v1", then the members' names,
// sorted, each with its length), not drawn: two devices of one name that first
// write in a group at the same moment use one secret, the recovery words find
// it again, and a new user key generation brings a new one. To those it is told
// to it is random.
//
// # Pins
//
// Pins are kept in the drive's state database (see Pins). Two rules go beyond
// the format's text. When a name's data key is changed by its owner, the profile
// that the old key signed is no longer pinned: otherwise a thief of the old key
// could sign a profile with the highest number there is and so lock the name for
// ever. And heads are pinned by volume and device with the locator at which they
// were found, not by locator alone: a writer's number only rises through all its
// locators, so an old head left at an earlier locator is stale too.
//
// # State database
//
// Keys begin with "pin/" and "out/"; values are canonical CBOR. See pins.go and
// outbox.go.
package profile
