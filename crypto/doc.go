// Package crypto holds a drive's keys, and signs, seals, opens and verifies
// what it stores.
//
// No byte that failed to verify reaches a cipher or a caller, and every failure
// to open something is the one error ErrOpen. Names are plain strings here.
// Integers in the formats below are big-endian, ‖ joins bytes, and BLAKE3 is
// its 256-bit hash.
//
// # Derivations
//
// HKDF(secret, use, fields…) is HKDF-SHA256 with an empty salt, 32 bytes long,
// and HMAC(key, use, fields…) is HMAC-SHA256. Info and message are the label
// "satchel <use> v1" and then each field with its length before it in 4 bytes.
// Numbers are fields of 8 bytes.
//
//	seed            BIP-39 seed of the 24 words, without a passphrase
//	owner key       BIP-32 m/44'/0'/0'/0/0 of the seed
//	data key g      HKDF(seed, "data", g) modulo the order of secp256k1
//	recovery key    HKDF(seed, "recovery"), a sealing key
//	device id       first 16 bytes of BLAKE3("satchel device v1" ‖ x-only signing key)
//	user key        HKDF(user secret, "user key"), a sealing key
//	pair key        HKDF(user secret, "pair key"), X25519
//	private secret  HKDF(user secret, "private")
//	pair secret     HKDF(X25519(one's pair key, the other's), "pair", lesser name, greater name)
//	group secret    random, one per writing name and group
//
//	private locator HMAC(private secret, "private locator", device)
//	pair locator    HMAC(pair secret, "pair locator", device)
//	group locator   HMAC(group secret, "group locator", members in ascending order…, device)
//	public locator  BLAKE3("satchel public v1" ‖ network ‖ name ‖ device)
//	here tag        first 16 bytes of HMAC(locator secret, "here", device, pulse seq)
//	head tag        first 16 bytes of HMAC(locator secret, "head", device, pulse seq, head's hash)
//
// The locator secret of a public volume is the device's locator in it, of the
// others the secret above that their locators come from. A sealing key is 32
// bytes, the private key of HPKE's KEM MLKEM768X25519; its public half has
// 1,216. Sealing to it is HPKE in base mode with HKDF-SHA256 and
// ChaCha20-Poly1305: the encapsulated key, 1,120 bytes, and the ciphertext.
//
// # Envelope
//
// Profiles, heads and pulses are stored as an array in the encoding of package
// canon: [header bytes, body bytes, signature]. The header bytes are a map:
//
//	1  kind, "profile", "head" or "pulse"
//	2  format, 1
//	3  network, 10 bytes
//	4  name
//	5  device id, 16 bytes
//	6  locator, 32 bytes, of a head only
//	7  seq, 1 to 2^53-1
//	8  seq of the previous one, absent in the first
//	9  hash of the previous one, absent in the first
//	10 time, nanoseconds since 1970 UTC
//	11 BLAKE3 of the body bytes
//
// Keys from 128 on may be added later. The signature is BIP-340's of
// tagged_hash("satchel/v1/" ‖ kind, header bytes), over the header bytes as they
// were received. An envelope's hash is BLAKE3 of its header bytes.
//
// # Sealed body
//
//	32     commitment, HKDF(body key, "head commit")
//	1      l, 1 to 7: there are 2^l wraps
//	2^l ×  1,168: the body key, 32 random bytes, sealed to a reader
//	rest   XChaCha20-Poly1305 of the body, key HKDF(body key, "head body"), nonce zero
//
// The ciphertext's additional data and the wraps' info are the header without
// field 11. Wraps are in random order; those that no reader has are to keys that
// were thrown away. There are two at least, so that a private volume's head
// looks like a pair's.
//
// A reader takes only a body key that fits the commitment. Without it, an
// author could make one ciphertext that opens to different bodies for different
// readers: the ciphers don't commit to their keys.
//
// # Segment
//
//	1      codec: 0 the plaintext itself, 1 one zstd stream of it
//	1      type: 0 chunk of a file, 1 node of a tree
//	4      length of the plaintext, 1 to 2^20
//	32 ×   BLAKE3 of each sealed frame
//	rest   sealed frames, each 16 bytes longer than what it holds
//
// Frames hold 16 KiB of the coded bytes, the last one 1 byte to 16 KiB, so the
// number of frames follows from the length. Each is AES-256-GCM under the
// segment's own random key; the nonce is 3 zero bytes, 1 byte that is 1 for the
// last frame and else 0, and the frame's number in 8 bytes. A compressed segment
// is shorter than its plaintext.
//
// A ref names BLAKE3("satchel segment v1" ‖ the part before the frames), the
// length and the key: the hash verifies the header, the header each frame.
//
// # Keystore
//
//	20     "satchel keystore v1\n"
//	4      passes of Argon2id
//	4      its memory in KiB
//	1      its threads
//	16     its salt
//	24     nonce
//	rest   XChaCha20-Poly1305 of the secrets, all before as additional data
//
// The secrets are a map: 1 name, 2 network, 3 signing key, 4 sealing key, 5 data
// key, 6 its generation, 7 list of [generation, user secret] in ascending order,
// 8 owner key, 9 key of the state database, 10 local secret, 11 key of the
// fingerprints of content, 12 public half of the recovery key. What the device
// hasn't is absent.
package crypto
