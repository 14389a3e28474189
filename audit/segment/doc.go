// Package segment is the file format of the journal: one append-only file of
// encrypted, numbered, hash-chained records.
//
// It exists so that damage to a journal is found without its key, and the
// journal is read and proved genuine only with it. Every record is sealed with
// AES-256-GCM under a key of the segment's own, and hashed together with the
// record before it; the hashes cover the ciphertext, so [Scanner] follows them
// without a key. A segment is written by one [Writer] in one process and never
// opened for appending by another: a new segment has a new salt and so a new
// key, which makes reuse of a nonce impossible whatever was torn off the old
// one.
//
// The chain has no key, so whoever may write the files could compute it anew;
// what they cannot do is make a record that opens, since each record is sealed
// together with its header's hash and its number. So whoever verifies opens them
// ([Reader.Plain]). The one change that a segment cannot show is its newest records
// being cut off: whoever kept the last number elsewhere (the index does) can tell.
//
// It must not know what a record means, and must not decide what to do about
// damage: it names the place.
//
// Layout, integers big-endian:
//
//	header  magic[8] | len u8, tenant | len u8, node | first u64 | created ms i64 |
//	        salt[32] | prev[32] | hash[32] = SHA-256(all before)
//	record  length u32 | seq u64 | sealed[length] |
//	        hash[32] = SHA-256(previous hash | all before) | length u32
//
// The first record's previous hash is the header's; prev is the last hash of
// the segment before. The length stands at both ends so that a file can be read
// backwards.
package segment
